"""Spikes downsampled to lists of events, their split into subsets, and their augmentation.

The public names are listed in ``__init__.pyi``. Each is imported when it is asked for, so that
spikes can be read and downsampled without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
