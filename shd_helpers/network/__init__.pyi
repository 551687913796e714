# The public names. `__init__.py` imports each when it is asked for; type checkers read this file.
from .config import NetworkConfig as NetworkConfig
from .config import Quantization as Quantization
from .engine import choose_engine as choose_engine
from .operation_counts import costs as costs
from .operation_counts import uncounted_reason as uncounted_reason
from .spiking import SpikingNetwork as SpikingNetwork
from .spiking import build_network as build_network
