"""Train spiking networks on spoken digits, and judge them on speakers they weren't trained on.

The public names are listed in ``__init__.pyi``. Each is imported when it is asked for, because some
of them take a second. docs/extend.md shows how to use them with objects and data of your own.
"""

import lazy_loader

__version__ = "0.1.0"  # of the package; pyproject.toml reads it here

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
