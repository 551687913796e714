"""The network takes events, steps and ends as a front end sends them."""

import numpy as np
import pytest
from benches import answers_in_icarus, answers_in_verilator, write_core
from circuits import named, needs_icarus, needs_verilator, random_utterances

from shd_circuit.quantize import circuit_of
from shd_circuit.sources import answers_text
from shd_helpers.network import Quantization
from shd_helpers.study import load_pretrained

pytestmark = pytest.mark.slow
EVENT, STEP_END, UTTERANCE_END, ABORT = range(4)


def sent(network, steps, units, rng, n_ends):
    """Return the lines that send an utterance's events, some twice, and so many ends of steps."""
    lines = []
    for step in range(n_ends + 1):
        blocks = rng.permutation(units[steps == step])
        again = blocks[rng.random(len(blocks)) < 0.2]
        lines += [(EVENT, unit) for unit in (*blocks, *again)]
        lines += [(STEP_END, 0)] * (step < n_ends)
    return lines


def write_steps(folder, lines):
    """Write the lines that the bench reads."""
    (folder / "steps.txt").write_text("".join(f"{kind} {number}\n" for kind, number in lines))


@needs_icarus
@pytest.mark.parametrize(
    ("name", "lanes"), [("late delays", 3), ("small", 4), ("narrow windows", 2), ("membranes", 6)]
)
def test_the_network_answers_events_of_steps_and_forgets_what_is_aborted(name, lanes, tmp_path):
    network = named(name)
    rng = np.random.default_rng(0)
    n_steps = network.grid.n_steps
    lines, runs = [], []
    for i, utterance in enumerate(random_utterances(4, n_events=300)):
        steps, units = network.pool(*utterance.spikes)
        begun = sent(network, steps, units, rng, n_steps // 2)[: rng.integers(1, 400)]
        lines += [*begun, (ABORT, rng.integers(200))]
        if i == 2:  # the utterance is over before the window is, in the midst of a step
            is_before = steps <= n_steps // 2
            steps, units = steps[is_before], units[is_before]
            lines += sent(network, steps, units, rng, n_steps // 2)
        else:  # steps after the window, with events
            late = np.repeat(n_steps + np.arange(2), 3)
            all_units = np.concatenate([units, rng.integers(0, network.grid.n_units, 6)])
            lines += sent(network, np.concatenate([steps, late]), all_units, rng, n_steps + 2)
        lines.append((UTTERANCE_END, 0))
        runs.append(network.run_events(steps, units))
    lines += [(EVENT, 0), (UTTERANCE_END, 0)]
    runs.append(network.run_events(np.zeros(1, int), np.zeros(1, int)))
    write_core(tmp_path, network, lanes)
    write_steps(tmp_path, lines)
    assert answers_in_icarus(tmp_path, "steps", "spiking_network.v") == answers_text(runs)


@needs_verilator
def test_the_network_that_listens_answers_as_its_integers_from_random_registers_on(tmp_path):
    trained = load_pretrained("small_listener").speaking("english")
    network = circuit_of(trained, Quantization.named("5-8-16 product"))
    rng = np.random.default_rng(0)
    lines, runs = [], []
    for density in (0, 0.02, 0.05, 0.1, 0.3):
        n_steps = int(rng.integers(100, network.grid.n_steps))
        steps, units = np.nonzero(rng.random((n_steps, network.grid.n_units)) < density)
        lines += [*sent(network, steps, units, rng, n_steps), (UTTERANCE_END, 0)]
        runs.append(network.run_events(steps, units))
    write_core(tmp_path, network, lanes=2)
    write_steps(tmp_path, lines)
    found = answers_in_verilator(tmp_path, "steps", "spiking_network.v")
    assert found == answers_text(runs)
    assert sum(run.spk[0].sum() for run in runs) > 1000
