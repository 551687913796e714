"""Numbers that say when code gives other results; raised by hand, never for anything else.

A comment, a moved function or a faster loop changes no result and outdates nothing. Tests train
tiny networks and encode a few sounds, compare the results with committed values, and tell whoever
changes one to raise its number here.
"""

SPIKES = 1  # sound to spikes: data sets made here are made anew
CHANGES = 1  # what a changed copy of a recording is: copies are made anew, runs with them, too
NUMERICS = 1  # spikes to scores: downsized inputs are made anew, runs count as never done
