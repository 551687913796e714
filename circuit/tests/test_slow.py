"""The board whose clock stops answers in real time as the integer model does."""

import pytest
from circuits import exported, needs_verilator

from shd_circuit.cost import awake_cycles, step_cycles
from shd_circuit.rtl.slow import SLOW_HZ, awake

pytestmark = [pytest.mark.slow, needs_verilator]


def test_the_clock_runs_while_there_is_work_and_the_answers_are_the_same(tmp_path):
    """Spikes come as address events; `awake` compares the answers.

    The last utterance ends with the file, as in `reference.c`.
    """
    network, utterances = exported(tmp_path / "circuit", "study", 2)
    path = tmp_path / "circuit" / "vectors.txt"
    path.write_text(path.read_text().rstrip("\n"))
    counted = awake(tmp_path / "circuit", lanes=4)
    assert counted.cycles > SLOW_HZ * 0.999
    busy = [sum(map(sum, step_cycles(network, utterance, 4))) for utterance in utterances]
    mean_busy = sum(busy) / 2
    most = sum(awake_cycles(network, utterance, 4) for utterance in utterances) / 2
    assert mean_busy < counted.awake < most
