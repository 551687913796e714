"""Version numbers of what the code computes. They are increased by hand, when results change.

A comment, a moved function or a faster loop changes no result and outdates nothing. A changed
formula or constant does. If the code computes different results than before, increase a version
number: `shd_helpers.study.behavior` notices this, and says which one.
"""

SPIKES = 1  # from sound to spikes: data sets that are made here are made again
WAVEFORMS = 1  # how recordings are augmented: they, and runs with them, are made again
NUMERICS = 1  # from spikes to class scores: no run counts as done any more
