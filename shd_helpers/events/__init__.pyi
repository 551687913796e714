# The public names. `__init__.py` imports each when it is asked for; type checkers read this file.
from .augmentation import Augmentation as Augmentation
from .downsampling import Downsampling as Downsampling
from .downsampling import Events as Events
from .downsampling import SpikesToFrames as SpikesToFrames
from .downsampling import concatenate as concatenate
from .downsampling import downsample as downsample
from .loading import Split as Split
from .loading import Subsets as Subsets
from .loading import cut_sentence as cut_sentence
from .loading import languages as languages
from .loading import load_events as load_events
from .loading import load_pair as load_pair
from .loading import load_subsets as load_subsets
