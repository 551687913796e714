"""Networks: a spiking one with its engines and costs, and the user's own.

The public names are listed in ``__init__.pyi``. Each is imported when it is asked for, so that
settings can be read and checked without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
