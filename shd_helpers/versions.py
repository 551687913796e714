"""Version numbers of what the code computes. They are raised by hand, when results change.

A comment, a moved function or a faster loop changes no result and outdates nothing. A changed
formula or constant does. `shd_helpers.study.behavior` finds out when the code computes something
else than these numbers stand for, and says which one to raise.
"""

SPIKES = 1  # from sound to spikes: data sets that are made here are made again
WAVEFORMS = 1  # how recordings are augmented: they, and runs with them, are made again
NUMERICS = 1  # from spikes to class scores: no run counts as done any more
