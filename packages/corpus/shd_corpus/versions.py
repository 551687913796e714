"""Version numbers of what the code computes. They are increased by hand, when results change.

A comment, a moved function or a faster loop changes no result and outdates nothing. A changed
formula or constant does.
"""

SPIKES = 1  # from sound to spikes: data sets that are made here are made again
FILTER_BANK = 1  # from sound to events
