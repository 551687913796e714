"""What the circuit makes of a run's utterances, beside what the network of floats does."""

from collections.abc import Sequence

import numpy as np
import torch

from hardware.integer import IntegerNetwork
from shd_helpers.events.downsample import Events
from shd_helpers.network import answers
from shd_helpers.study.analysis import seen_and_unseen_accuracy
from shd_helpers.study.evaluation import Evaluation


def circuit_words(circuit: IntegerNetwork, events: Events) -> np.ndarray:
    """Return the word that the circuit hears in each utterance, shape (utterances,)."""
    return np.array(events.class_names)[answers(circuit.count(events)[0])]


def circuit_scores(
    circuit: IntegerNetwork, validated: Evaluation, tested: Evaluation | None, seen: Sequence[int]
) -> dict[str, float | None]:
    """Return the circuit's accuracies, and how often it answers as the network of floats.

    Parameters
    ----------
    circuit : IntegerNetwork
        From `integer_network`.
    validated, tested : Evaluation
        Of the network of floats; `tested` is None where the test utterances aren't scored.
    seen : sequence of int
        Speakers of the training utterances.

    Returns
    -------
    dict
        `integer_validation`, `integer_test`, `integer_test_seen`, `integer_test_unseen` and
        `integer_agreement` (on the test utterances; where they aren't scored, on those of the
        validation), as fractions, None where nothing was measured.
    """
    own = _evaluate(circuit, validated)
    own_tested = None if tested is None else _evaluate(circuit, tested)
    same = (own_tested or own).answers == (tested or validated).answers
    scores: dict[str, float | None] = {"validation": own.accuracy, "agreement": float(same.mean())}
    scores |= seen_and_unseen_accuracy(own_tested, seen)
    return {f"integer_{name}": score for name, score in scores.items()}


def _evaluate(circuit: IntegerNetwork, floats: Evaluation) -> Evaluation:
    counts, n_spikes = circuit.count(floats.events)
    return Evaluation(floats.model, floats.events, torch.from_numpy(counts).double(), n_spikes)
