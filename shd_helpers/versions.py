"""The version number of what the code computes. It is increased by hand, when results change.

A comment, a moved function or a faster loop changes no result and outdates nothing. A changed
formula or constant does. If the code computes different results than before, increase the
number. tests/test_small_computations.py finds most such changes, and names the number.
"""

NUMERICS = 1  # from spikes to class scores: no run counts as done any more
# The hash of the code that computes as NUMERICS says (see `computing_code`). It is part of no run's
# hash. To record a new one: python -m tests.small_computations
COMPUTING_CODE = "1e3babbce555e444"
