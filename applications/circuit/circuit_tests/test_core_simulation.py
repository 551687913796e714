"""The Verilog core, simulated, computes what the integer model computes."""

import gzip
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from benches import in_icarus, rough_sends, sends, write_core
from circuits import (
    CIRCUITS,
    SMALL,
    exported,
    named,
    needs_icarus,
    needs_verilator,
    needs_yosys,
    outcomes,
    random_utterances,
    with_ticks,
)

from shd_circuit.cost import core_line, total_cycles
from shd_circuit.rtl import simulate
from shd_circuit.sources import (
    MODULE_FILES,
    answers_text,
    edge_cases,
    events_text,
    source_text,
    trace_text,
)

pytestmark = pytest.mark.slow
# neurons side by side, in groups that are full and that aren't
LANES = {
    "study": 1,
    "delays": 4,
    "late delays": 3,
    "leak by product": 1,
    "saturation": 5,
    "wide": 16,
    "no pooling": 2,
    "little leak": 8,
    "small": 2,
    "narrow windows": 3,
    "own leaks": 1,
    "membranes": 16,
}


@needs_yosys
@pytest.mark.parametrize("name", CIRCUITS | SMALL)
def test_every_step_of_the_core_is_the_integer_model_s(name, tmp_path):
    folder = tmp_path / "circuit"
    lanes = LANES[name]
    network, utterances = exported(folder, name, 4)
    done = simulate(folder, "-DTRACE=2", lanes=lanes)
    wanted = trace_text(outcomes(network, utterances), 2).splitlines()
    assert done.output.splitlines() == [line for line in wanted if line[0] != "i"]
    assert done.n_utterances == 4
    assert done.cycles == total_cycles(network, utterances, lanes)
    edges = list(edge_cases(network, utterances).values())
    assert done.lines == (core_line(network, utterances, lanes), core_line(network, edges, lanes))
    edge_answers = [line for line in done.edges.splitlines() if line[0].isdigit()]  # no steps
    assert edge_answers == (folder / "edges_expected.txt").read_text().splitlines()
    with gzip.open(folder / "trace.txt.gz", "rt") as file:
        assert file.read().splitlines() == wanted


@needs_yosys
@pytest.mark.parametrize("name", ["study", "late delays", "no pooling"])
def test_a_tick_is_counted_and_changes_nothing(name, tmp_path):
    folder = tmp_path / "circuit"
    network, utterances = exported(folder, name, 4)
    ticked = [with_ticks(network, utterance) for utterance in utterances]
    (folder / "vectors.txt").write_text(events_text(ticked))
    done = simulate(folder)
    assert done.output == (folder / "expected.txt").read_text()
    assert done.lines[0] == core_line(network, ticked, 1, outcomes(network, utterances))
    # the last events of these utterances come after the window
    last_ms = int(max(utterance.milliseconds[-1] for utterance in utterances[1:]))
    assert last_ms > network.grid.n_steps * network.grid.step_ms


@needs_icarus
@pytest.mark.parametrize(
    ("lanes", "name"),
    [
        (1, "late delays"),
        (2, "small"),
        (3, "saturation"),
        (4, "no pooling"),
        (5, "own leaks"),
        (6, "membranes"),
    ],
)
def test_the_core_sets_all_it_reads_however_it_is_driven(name, lanes, tmp_path):
    """Icarus Verilog knows x: a number that was never set would show."""
    network = named(name)
    utterances = random_utterances(3, n_events=150)
    write_core(tmp_path, network, lanes)
    answered = in_icarus(tmp_path, sends(utterances) + rough_sends(network, utterances))
    assert answered == 2 * answers_text(outcomes(network, utterances))


@needs_icarus
@pytest.mark.parametrize("name", ["late delays", "membranes"])
def test_a_neuron_never_spikes_whose_threshold_no_membrane_exceeds(name, tmp_path):
    network = named(name)
    utterances = random_utterances(2, n_events=300)
    runs = outcomes(network, utterances)
    busy = int(runs[1].spk[0].sum(0).argmax())
    write_core(tmp_path, network, lanes=1)
    thresholds = (tmp_path / "threshold.mem").read_text().splitlines()
    thresholds[busy] = f"{network.high:x}"
    (tmp_path / "threshold.mem").write_text("\n".join(thresholds))
    hidden, classes = network.layers
    without = np.where(np.arange(network.sizes[1]) == busy, 0, classes.weight)
    silenced = replace(network, layers=(hidden, replace(classes, weight=without)))
    wanted = answers_text(outcomes(silenced, utterances))
    assert wanted != answers_text(runs)
    assert in_icarus(tmp_path, sends(utterances)) == wanted


@needs_verilator
@pytest.mark.parametrize("name", ["study", "late delays", "leak by product", "no pooling", *SMALL])
def test_verilator_warns_of_nothing(name, tmp_path):
    (tmp_path / "waivers.vlt").write_text(source_text("rtl/waivers.vlt"))
    write_core(tmp_path, named(name), lanes=2 if name in SMALL else 1)
    command = ["verilator", "--lint-only", "-Wall", "--top-module", "core", "waivers.vlt"]
    command += MODULE_FILES
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
