"""What a real circuit does to a trained network: mismatch, lost events, dead neurons, slow clocks.

A disturbance takes a network and utterances, how strong it is, and a generator, and returns the
network and the utterances as the circuit has them; a strength of 0 changes nothing. Draws of one
seed go together, but for spurious events: whoever is silent at 3 % is silent at 10 %, and a weight
that is 1 % too large at 1 % is 10 % too large at 10 %. Most can be done to the integer model, too.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from shd_circuit.integer import OWN_FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_helpers.events.downsampling import distinct
from shd_helpers.events.event_lists import Events
from shd_helpers.network.spiking import SpikingNetwork

Disturbable = SpikingNetwork | IntegerNetwork
Disturbed = tuple[Disturbable, Events]
LEAST = 0.05  # of what was designed is always there, whatever a mismatch draws
NEVER = 1e30  # a threshold that no membrane reaches; with a minus sign, one that it always exceeds


def _mismatch(
    kinds: Sequence[str],
    model: Disturbable,
    events: Events,
    strength: float,
    rng: np.random.Generator,
) -> Disturbed:
    """Multiply weights, thresholds or leaks by factors of their own."""

    def factors(shape: Sequence[int]) -> np.ndarray:
        return (1 + strength * rng.standard_normal(shape)).clip(min=LEAST)

    def with_mismatch(values: torch.Tensor) -> torch.Tensor:
        return values * torch.from_numpy(factors(values.shape)).to(values)

    if isinstance(model, IntegerNetwork):
        return _integer_mismatch(kinds[0], model, factors), events
    for kind in kinds:  # all layers of one kind before the next kind: draws come in this order
        for fc, lif in model.layers:
            if kind == "weights":
                fc.weight.data = with_mismatch(fc.weight.data)
                fc.bias.data = with_mismatch(fc.bias.data)
            elif kind == "thresholds":
                lif.threshold.data = with_mismatch(lif.threshold.data.expand(fc.out_features))
            else:
                # the rate 1 - beta is about the inverse of the time constant in steps
                rates = 1 - lif.beta.data.clamp(0, 1).expand(fc.out_features)
                lif.beta.data = 1 - with_mismatch(rates)
    return model, events


def _integer_mismatch(
    kind: str, circuit: IntegerNetwork, factors: Callable[[Sequence[int]], np.ndarray]
) -> IntegerNetwork:
    """Multiply a circuit's thresholds or leaks by factors of their own, and round them."""
    if kind == "thresholds":
        layers = _thresholds_with_mismatch(circuit, factors)
        return replace(circuit, layers=tuple(layers))
    # whatever the leak was, each neuron has a factor of its own then
    no_leak = 1 << OWN_FACTOR_BITS
    layers = []
    for i, layer in enumerate(circuit.layers):
        leaks = circuit.leaks(i)
        if circuit.leak_shift:
            rates = no_leak >> leaks
        else:
            rates = no_leak - (leaks << (OWN_FACTOR_BITS - circuit.factor_bits))
        rates = np.rint(rates * factors(rates.shape)).clip(0, no_leak).astype(np.int64)
        layers.append(replace(layer, factor=no_leak - rates))
    return replace(circuit, layers=tuple(layers), leak_shift=0, leak_factor=0)


def _thresholds_with_mismatch(
    circuit: IntegerNetwork, factors: Callable[[Sequence[int]], np.ndarray]
) -> list[IntegerLayer]:
    """Return a circuit's layers whose thresholds are multiplied by factors, and rounded.

    A readout of membranes keeps its own: nothing is compared with them.
    """
    layers = list(circuit.layers)
    n_compared = 1 if circuit.is_membrane else 2
    for i in range(n_compared):
        threshold = np.rint(layers[i].threshold * factors(layers[i].threshold.shape))
        threshold = threshold.clip(1, circuit.high).astype(np.int64)
        layers[i] = replace(layers[i], threshold=threshold)
    return layers


def _lost_events(
    model: Disturbable, events: Events, strength: float, rng: np.random.Generator
) -> Disturbed:
    """Leave out each input event with the probability `strength`."""
    is_kept = rng.random(len(events.steps)) >= strength
    return model, _with_entries(_entries(events)[is_kept], events)


def _spurious_events(
    model: Disturbable, events: Events, strength: float, rng: np.random.Generator
) -> Disturbed:
    """Add `strength` events for every true one, drawn from all units and steps alike."""
    n_entries = len(events) * events.n_steps * events.n_units
    n_drawn = rng.poisson(strength * len(events.steps))
    drawn = rng.integers(0, n_entries, n_drawn)
    entries, _ = distinct(np.concatenate([_entries(events), drawn]))
    return model, _with_entries(entries, events)


def _stuck_neurons(
    threshold: float, model: Disturbable, events: Events, strength: float, rng: np.random.Generator
) -> Disturbed:
    """Give a share of the hidden neurons a threshold that is never or always exceeded."""
    if isinstance(model, IntegerNetwork):
        hidden, classes = model.layers
        # no membrane is above the highest, and all are above what is below the lowest
        integer = model.high if threshold == NEVER else -model.high - 2
        thresholds = hidden.threshold.copy()
        thresholds[_draw_stuck_neurons(len(thresholds), strength, rng)] = integer
        return replace(model, layers=(replace(hidden, threshold=thresholds), classes)), events
    for fc, lif in model.layers[:-1]:
        float_thresholds = lif.threshold.data.expand(fc.out_features).clone()
        stuck = _draw_stuck_neurons(fc.out_features, strength, rng)
        float_thresholds[torch.from_numpy(stuck)] = threshold
        lif.threshold.data = float_thresholds
    return model, events


def _draw_stuck_neurons(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a share of n neurons: more of the same order with a larger share."""
    return rng.permutation(n)[: round(share * n)]


def _slower_clock(
    model: SpikingNetwork, events: Events, strength: float, rng: np.random.Generator
) -> Disturbed:
    """Let a step last longer: events that fall into the same one become one."""
    # an event is taken to come in the middle of its step
    steps = np.floor((events.steps + 0.5) / (1 + strength)).astype(np.int64)
    n_steps = int(np.ceil(events.n_steps / (1 + strength)))
    step_ms = events.step_ms * (1 + strength)
    slow = replace(events, steps=steps, n_steps=n_steps, step_ms=step_ms)
    entries, _ = distinct(_entries(slow))
    return model, _with_entries(entries, slow)


def _slower_clock_same_leak(
    model: SpikingNetwork, events: Events, strength: float, rng: np.random.Generator
) -> Disturbed:
    """Let a step last longer, and keep the time constants in milliseconds."""
    for fc, lif in model.layers:
        before = lif.beta.data.clamp(0, 1)
        lif.beta.data = before ** (1 + strength)
        # a constant current leads to the same potential: bias / (1 - beta)
        same_potential = fc.bias.data * ((1 - lif.beta.data) / (1 - before))
        # without a leak, to the same slope
        same_slope = fc.bias.data * (1 + strength)
        fc.bias.data = torch.where(before < 1, same_potential, same_slope)
    return _slower_clock(model, events, strength, rng)


def _entries(events: Events) -> np.ndarray:
    """Return each event as one number, ascending by utterance, step and unit."""
    utterance = np.repeat(np.arange(len(events)), np.diff(events.offsets))
    return (utterance * events.n_steps + events.steps) * events.n_units + events.units


def _with_entries(entries: np.ndarray, events: Events) -> Events:
    """Return utterances with the events of these numbers; the rest is as in `events`."""
    rows, units = np.divmod(entries, events.n_units)
    utterance, steps = np.divmod(rows, events.n_steps)
    return replace(
        events,
        steps=steps.astype(np.uint16),
        units=units.astype(np.uint16),
        offsets=np.searchsorted(utterance, np.arange(len(events) + 1)),
    )


DISTURBANCES: dict[str, Callable[..., Disturbed]] = {
    "mismatch of weights": partial(_mismatch, ["weights"]),
    "mismatch of thresholds": partial(_mismatch, ["thresholds"]),
    "mismatch of leaks": partial(_mismatch, ["leaks"]),
    "mismatch of all three": partial(_mismatch, ["weights", "thresholds", "leaks"]),
    "lost events": _lost_events,
    "spurious events": _spurious_events,
    "silent neurons": partial(_stuck_neurons, NEVER),
    "firing neurons": partial(_stuck_neurons, -NEVER),
    "slower clock, leak by step": _slower_clock,
    "slower clock, leak by time": _slower_clock_same_leak,
}
SWITCHED_OFF = ", switched off"  # by the core's mask: such a neuron never spikes
FAULTS = (  # of the integer model
    "mismatch of thresholds",
    "mismatch of leaks",
    "lost events",
    "spurious events",
    "silent neurons",
    "firing neurons",
    f"firing neurons{SWITCHED_OFF}",
)
KINDS = (*DISTURBANCES, f"firing neurons{SWITCHED_OFF}")  # of a network of floats


def disturb(
    model: Disturbable, events: Events, kind: str, strength: float, seed: int = 0
) -> Disturbed:
    """Return a network and utterances as a circuit with one disturbance has them.

    Parameters
    ----------
    model : SpikingNetwork or IntegerNetwork
        Trained, or the circuit made of it; it stays as it is.
    events : Events
        Utterances; they stay as they are.
    kind : str
        One of `KINDS`, or, of a circuit, one of `FAULTS`.
        ``"mismatch of weights"`` (biases too), ``"... of thresholds"`` (of both layers' neurons) or
        ``"... of leaks"`` (rates, the inverse of time constants): each value times a factor of its
        own, normally distributed around 1 with the standard deviation `strength`.
        ``"lost events"``: input events are left out with that probability. ``"spurious events"``:
        on average `strength` events are added for every true one, each at an entry that is drawn
        from all alike, so some fall on an entry that has an event already. ``"silent neurons"``,
        ``"firing neurons"``: that share of the hidden neurons never spikes, or spikes in every
        step; ``"firing neurons, switched off"``: the same ones, but the core's mask has silenced
        them. ``"slower clock, leak by step"``: a step lasts 1 + `strength` times as long; events
        that fall together become one, and the membranes lose in a step what they did, as a shift
        makes them. ``"..., leak by time"``: the same, but the time constants stay, and so does the
        potential that a bias leads to. Delays stay in steps.
    strength : float
        From 0.
    seed : int
        Of the draws.

    Returns
    -------
    model : SpikingNetwork or IntegerNetwork
        The disturbed network.
    events : Events
        The utterances as it gets them.

    Raises
    ------
    ValueError
        If there is no such kind for this model.
    """
    kinds = FAULTS if isinstance(model, IntegerNetwork) else KINDS
    if kind not in kinds:
        what = "a circuit" if isinstance(model, IntegerNetwork) else "a network"
        raise ValueError(f"disturbance {kind!r}: of {what}, must be one of {', '.join(kinds)}")
    if strength == 0:
        return copy.deepcopy(model), events
    stuck = kind.removesuffix(SWITCHED_OFF)
    rng = np.random.default_rng([seed, list(DISTURBANCES).index(stuck)])
    change = DISTURBANCES[kind if kind == stuck else "silent neurons"]
    with torch.no_grad():
        return change(copy.deepcopy(model), events, strength, rng)
