"""Stopping early: a circuit ends a word after some steps of silence, and adds the votes to come.

What an output neuron fires after the word's end comes of biases, its own and the hidden neurons':
nearly the same votes for every word. They are no news, but training counted on them, so that they
can't just be left out. A circuit that stops with r steps to go therefore adds the votes of r steps
without input, from a table.
"""

import numpy as np

from hardware.integer import IntegerNetwork
from shd_helpers.events.downsample import Events
from shd_helpers.network import answers


def bias_votes(circuit: IntegerNetwork) -> np.ndarray:
    """Return the table of votes that come of the biases alone.

    Parameters
    ----------
    circuit : IntegerNetwork
        Of two layers.

    Returns
    -------
    ndarray
        Shape (steps + 1, classes), int64: row r has the output spikes of the last r steps of a
        word without input.

    Raises
    ------
    ValueError
        If it has no votes, or stops by itself.
    """
    if circuit.is_membrane or circuit.stop:
        raise ValueError("votes to come: only of a circuit that counts spikes, over all steps")
    spikes = circuit.run([], []).spk[-1]
    return np.concatenate([np.zeros_like(spikes[:1], np.int64), np.cumsum(spikes[::-1], axis=0)])


def stop_early(
    circuit: IntegerNetwork, events: Events, silence: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return when the circuit stops each word, and what it answers.

    Parameters
    ----------
    circuit : IntegerNetwork
        Of two layers.
    events : Events
        Utterances.
    silence : int
        It stops at the end of the first step in which so many have passed without an event,
        once there was one. 0: never.

    Returns
    -------
    steps : ndarray
        Steps that were run, shape (utterances,), int64.
    answers : ndarray
        Classes, shape (utterances,), int64: most votes, the table's among them, the lowest class
        of several with equally many.
    """
    n_steps, table = events.n_steps, bias_votes(circuit)
    steps, votes = np.full(len(events), n_steps), np.zeros((len(events), table.shape[1]), np.int64)
    for i, run in enumerate(circuit.runs(events)):
        at = events.steps[events.offsets[i] : events.offsets[i + 1]].astype(np.int64)
        if silence and (ends := at[np.diff(at, append=n_steps) > silence]).size:
            steps[i] = ends[0] + silence + 1
        votes[i] = run.spk[-1][: steps[i]].sum(0) + table[n_steps - steps[i]]
    return steps, answers(votes)
