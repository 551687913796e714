# The public names. `__init__.py` imports each when it is asked for; type checkers read this file.
from .augmentation import Augmentation as Augmentation
from .downsampling import Downsampling as Downsampling
from .downsampling import SpikesToFrames as SpikesToFrames
from .downsampling import downsample as downsample
from .event_lists import Events as Events
from .event_lists import concatenate as concatenate
from .loading import cut_sentence as cut_sentence
from .loading import load_events as load_events
from .loading import load_pair as load_pair
from .split import Split as Split
from .split import Subsets as Subsets
from .split import languages as languages
from .split import load_subsets as load_subsets
