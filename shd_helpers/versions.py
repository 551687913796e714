"""Version numbers of what the code computes. They are increased by hand, when results change.

A comment, a moved function or a faster loop changes no result and outdates nothing. A changed
formula or constant does. If the code computes different results than before, increase a version
number. tests/test_small_computations.py finds most such changes, and names the number.
"""

SPIKES = 1  # from sound to spikes: data sets that are made here are made again
WAVEFORMS = 1  # how recordings are augmented: they, and runs with them, are made again
NUMERICS = 1  # from spikes to class scores: no run counts as done any more
# The hash of the code that computes as NUMERICS says (see `computing_code`). It is part of no run's
# hash. To record a new one: python -m tests.small_computations
COMPUTING_CODE = "ad675ac97bcdd365"
