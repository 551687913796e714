"""What an option can't be used with: one table, from which all refusals come.

Whoever adds an option puts it into the table, or into `FREE`; a test holds that none is forgotten.
"""

from collections.abc import Mapping
from typing import NamedTuple

from shd_helpers.checks import quoted


class Limit(NamedTuple):
    """At which value an option asks nothing of anybody, and by user why no other value will do."""

    neutral: object
    circuit: str = ""  # of integers: see `Quantisation`
    nir: str = ""  # the file that other tools read


LIMITS = {
    "network": Limit("spiking", "a circuit needs spiking neurons", "it has no spikes"),
    "readout": Limit("spikes", "a circuit counts output spikes", "it has no spike counts"),
    "kernel_size": Limit(0, "a circuit's first layer is full (0)", "neurons share windows"),
    "stop_ms": Limit(0, "a circuit runs all steps (0)", "its words end before the last step"),
    "adapt_ms": Limit(0, "a circuit has no adaptation (0)", "neurons adapt"),
    "learn_beta": Limit(False, "a circuit has one leak for all neurons"),
}
# options that go with everything
FREE = frozenset(
    "first_unit duration_s pool_units pool_steps pool_threshold "
    "protocol held_out validation validation_fraction validation_speakers score_test "
    "n_hidden beta surrogate slope learn_threshold n_delays stride "
    "epochs batch_size lr lr_step "
    "fc1_bits fc2_bits mem_bits leak quantised_epochs "
    "shift_units shift_ms stretch dropout".split()
)


def refusals(user: str, options: Mapping[str, object]) -> list[str]:
    """Return why a user can't take these options: all reasons, each with the option's name.

    Parameters
    ----------
    user : str
        A field of `Limit`.
    options : mapping
        Values by name; what isn't there is neutral.
    """
    return [
        f"{name} {quoted(options[name])}: {reason}"
        for name, limit in LIMITS.items()
        if (reason := getattr(limit, user)) and options.get(name, limit.neutral) != limit.neutral
    ]


def refuse(reasons: list[str]) -> None:
    """Raise a ValueError that lists all reasons, if there are any."""
    if reasons:
        raise ValueError("; ".join(reasons))
