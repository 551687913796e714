"""How confident a circuit is of its answer, in integers, and which answers it accepts.

The confidence of a network of floats is its answer's share in the softmax of the class scores. The
circuit computes the same of its integer scores, with tables of e^-x. `reference.c` does so with
``-DACCEPT``, `board.py` beside the core's answer, and the demo page.
"""

from dataclasses import dataclass

import numpy as np

from shd_circuit.configure import OWNER
from shd_circuit.integer import IntegerNetwork
from shd_circuit.quantize import score_units
from shd_helpers.network import Quantization
from shd_helpers.study.pretrained import TrainedNetwork

ONE = 1 << 15  # what stands for 1 in the tables
STEPS = 256  # of a table, for each whole number of the exponent
LARGEST = 16  # exponents from here on count as if e^-x were 0
FACTOR_SHIFT = 24
COARSE = np.round(ONE * np.exp(-np.arange(LARGEST))).astype(np.int64)
FINE = np.round(ONE * np.exp(-np.arange(STEPS) / STEPS)).astype(np.int64)


@dataclass(frozen=True)
class Confidence:
    """From which confidence a circuit's answer is accepted.

    Parameters
    ----------
    factor : int
        What a difference of two scores is multiplied by, to be the exponent in 256ths, times 2^24.
    limit : int
        The largest sum of all classes' shares of the best score, in 2^-15, at which the answer is
        accepted: 2^15 divided by the threshold.
    """

    factor: int
    limit: int

    def total(self, scores: np.ndarray) -> int:
        """Return the sum of e^-x over all classes, where x is by how much each is below the best.

        Parameters
        ----------
        scores : ndarray
            Integers, of each class, shape (classes,).

        Returns
        -------
        int
            In 2^-15.
        """
        total = 0
        for score in scores.tolist():
            exponent = (int(scores.max()) - score) * self.factor >> FACTOR_SHIFT
            if exponent < LARGEST * STEPS:
                coarse = int(COARSE[exponent // STEPS])
                fine = int(FINE[exponent % STEPS])
                total += coarse * fine // ONE
        return total

    def per_mille(self, scores: np.ndarray) -> int:
        """Return the confidence of the answer, in thousandths.

        Parameters
        ----------
        scores : ndarray
            Integers, of each class, shape (classes,).

        Returns
        -------
        int
            0 to 1000.
        """
        return 1000 * ONE // self.total(scores)

    def accepts(self, scores: np.ndarray) -> bool:
        """Check that the answer is confident enough.

        Parameters
        ----------
        scores : ndarray
            Integers, of each class, shape (classes,).

        Returns
        -------
        bool
            False if the answer is to be rejected.
        """
        return self.total(scores) <= self.limit

    def header(self) -> str:
        """Write `confidence.h`, which `reference.c` includes with ``-DACCEPT``.

        Returns
        -------
        str
            The factor, the limit, and the tables.
        """
        lines = [
            f"/* {OWNER}",
            "   SPDX-License-Identifier: MIT",
            "   How confident an answer is, and when it is accepted: see README.md. */",
            f"#define CONFIDENCE_FACTOR {self.factor}",
            f"#define CONFIDENCE_LIMIT {self.limit}",
        ]
        for name, table in (("coarse", COARSE), ("fine", FINE)):
            numbers = ", ".join(map(str, table.tolist()))
            lines.append(f"static const uint32_t {name}[{len(table)}] = {{{numbers}}};")
        return "\n".join(lines) + "\n"


def confidence_of(
    trained: TrainedNetwork, quantization: Quantization, circuit: IntegerNetwork
) -> Confidence | None:
    """Return from which confidence a circuit's answers are accepted, as its network's are.

    Parameters
    ----------
    trained : TrainedNetwork
        The network of floats, which may have a threshold.
    quantization : Quantization
        Of the circuit.
    circuit : IntegerNetwork
        Made of this network.

    Returns
    -------
    Confidence or None
        None if the network has no threshold.
    """
    threshold = trained.about.get("confidence_threshold")
    if threshold is None:
        return None
    factor = STEPS * (1 << FACTOR_SHIFT) / score_units(trained.network, quantization, circuit)
    return Confidence(factor=round(factor), limit=int(ONE / threshold))
