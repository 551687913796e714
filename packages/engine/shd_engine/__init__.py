"""Train snnTorch networks fast on a CPU: `compile` a module, and use it as before.

It needs torch, snntorch, numba and numpy. A name is imported when it is asked for, because whoever
only reads lists of events doesn't need torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shd_engine.adaptive import AdaptiveLeaky, RSEAdLIF, SEAdLIF
    from shd_engine.compiling import CompiledNetwork, compile
    from shd_engine.event_lists import EventLists
    from shd_engine.network import (
        ChannelConv1d,
        LayeredNetwork,
        LayerStates,
        LearnedDelays,
        NotCompilableError,
    )
    from shd_engine.scanning import scan
    from shd_engine.unrolling import unroll

_MODULES = {
    "AdaptiveLeaky": "adaptive",
    "ChannelConv1d": "network",
    "CompiledNetwork": "compiling",
    "EventLists": "event_lists",
    "LayerStates": "network",
    "LayeredNetwork": "network",
    "LearnedDelays": "network",
    "NotCompilableError": "network",
    "RSEAdLIF": "adaptive",
    "SEAdLIF": "adaptive",
    "compile": "compiling",
    "scan": "scanning",
    "unroll": "unrolling",
}
__all__ = [
    "AdaptiveLeaky",
    "ChannelConv1d",
    "CompiledNetwork",
    "EventLists",
    "LayerStates",
    "LayeredNetwork",
    "LearnedDelays",
    "NotCompilableError",
    "RSEAdLIF",
    "SEAdLIF",
    "compile",
    "scan",
    "unroll",
]


def __dir__() -> list[str]:
    """Return the names that can be imported, such as for completion."""
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
