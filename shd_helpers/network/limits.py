"""What a circuit and its NIR file can't take: one table, from which all refusals come."""

from dataclasses import fields
from typing import NamedTuple

from shd_helpers.checks import quoted
from shd_helpers.network.config import NetworkConfig


class Limit(NamedTuple):
    """Why an option must have its default, by who needs it to."""

    circuit: str = ""  # of integers: see `Quantisation`
    nir: str = ""  # the file that other tools read


LIMITS = {
    "network": Limit("a circuit needs spiking neurons", "it has no spikes"),
    "readout": Limit(nir="it has no spike counts"),
    "kernel_size": Limit(nir="neurons share windows"),
}


def refusals(user: str, config: NetworkConfig) -> list[str]:
    """Return all reasons why a user, a field of `Limit`, can't take a network, by option."""
    defaults = {field.name: field.default for field in fields(NetworkConfig)}
    return [
        f"{name} {quoted(getattr(config, name))}: {reason}"
        for name, limit in LIMITS.items()
        if (reason := getattr(limit, user)) and getattr(config, name) != defaults[name]
    ]


def refuse(reasons: list[str]) -> None:
    """Raise a ValueError that lists all reasons, if there are any."""
    if reasons:
        raise ValueError("; ".join(reasons))
