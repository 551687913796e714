# The public names. `__init__.py` imports each when it is asked for; type checkers read this file.

from .events.augmentation import Augmentation as Augmentation
from .events.downsampling import Downsampling as Downsampling
from .events.downsampling import Events as Events
from .events.downsampling import SpikesToFrames as SpikesToFrames
from .events.loading import load_events as load_events
from .hear import Listener as Listener
from .network.config import NetworkConfig as NetworkConfig
from .network.spiking import AdaptiveLeaky as AdaptiveLeaky
from .network.spiking import SpikingNetwork as SpikingNetwork
from .study.judgement import JudgeOptions as JudgeOptions
from .study.judgement import judge as judge
from .study.recipe import Recipe as Recipe
from .study.tables import read_table as read_table
from .study.trained_network import load_pretrained as load_pretrained
from .study.training import TrainConfig as TrainConfig
from .study.training import TrainOptions as TrainOptions
from .study.training import evaluate as evaluate
from .study.training import fit as fit
from .sweeps.runner import run_sweep as run_sweep

__version__: str
