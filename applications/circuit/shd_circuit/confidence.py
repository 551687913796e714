"""Compute in integers how confident a circuit is of its answer, and whether it abstains.

The confidence of a network of floats is the answer's share in the softmax of the class scores. For
a circuit it is computed from the integer scores with two tables of e^-x: one for the whole part of
x, the other for its fraction. `reference.c` does so with ``-DACCEPT``, and the demo page shows it.
If the network has a class *other* for sounds that are no digit, this answer is never accepted. The
threshold comes from the pretrained network's file. An exported folder has it in ``confidence.h``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shd_circuit.integer import IntegerNetwork
from shd_circuit.quantize import score_units
from shd_circuit.sources import OWNER
from shd_helpers.network import Quantization
from shd_helpers.study.trained_network import TrainedNetwork

ONE = 1 << 15  # the integer for 1 in the tables
STEPS = 256  # from a whole number of the exponent to the next
LARGEST = 16  # from this exponent on, e^-x counts as 0
FACTOR_SHIFT = 24
COARSE = np.round(ONE * np.exp(-np.arange(LARGEST))).astype(np.int64)
FINE = np.round(ONE * np.exp(-np.arange(STEPS) / STEPS)).astype(np.int64)


@dataclass(frozen=True)
class Confidence:
    """Say how confident an answer is, and whether it is accepted."""

    # A difference of two scores, times `factor` and divided by 2^24, is the exponent in units of
    # 1/256.
    factor: int
    # The largest sum of e^-x over all classes at which an answer is accepted, in units of 2^-15. x
    # is a score's distance from the highest one, and the sum is the inverse of the confidence.
    limit: int
    # The class of sounds that are no digit, which is never accepted.
    other: int | None = None

    @property
    def threshold(self) -> float:
        """Return the confidence from which an answer is accepted; infinity if none is."""
        return ONE / self.limit if self.limit else np.inf

    def of(self, scores: Sequence[int]) -> list[int]:
        """Return an answer's confidence in thousandths, and 1 if it is accepted, else 0."""
        total = 0
        for score in scores:
            whole, fraction = divmod((max(scores) - score) * self.factor >> FACTOR_SHIFT, STEPS)
            if whole < LARGEST:
                total += int(COARSE[whole]) * int(FINE[fraction]) // ONE
        is_digit = scores.index(max(scores)) != self.other
        return [1000 * ONE // total, int(is_digit and total <= self.limit)]

    def header(self) -> str:
        """Write `confidence.h`, which `reference.c` includes with ``-DACCEPT``."""
        lines = [
            f"/* {OWNER}",
            "   SPDX-License-Identifier: MIT",
            "   How confident an answer is, and when it is accepted: see README.md. */",
            f"#define CONFIDENCE_FACTOR {self.factor}",
            f"#define CONFIDENCE_LIMIT {self.limit}",
        ]
        if self.other is not None:
            lines.append(f"#define CONFIDENCE_OTHER {self.other}")
        for name, table in (("coarse", COARSE), ("fine", FINE)):
            numbers = ", ".join(map(str, table.tolist()))
            lines.append(f"static const uint32_t {name}[{len(table)}] = {{{numbers}}};")
        return "\n".join(lines) + "\n"


def confidence_of(
    trained: TrainedNetwork, quantization: Quantization, circuit: IntegerNetwork
) -> Confidence | None:
    """Convert a network's confidence threshold for the integer scores of its circuit."""
    threshold = trained.about.get("confidence_threshold")
    if threshold is None:
        return None
    factor = STEPS * (1 << FACTOR_SHIFT) / score_units(trained.network, quantization, circuit)
    # The sum is at most `ONE` for each class, so a threshold near 0 needs no larger limit.
    largest = ONE * circuit.sizes[-1]
    limit = int(min(ONE / threshold, largest)) if threshold > 0 else largest
    return Confidence(round(factor), limit, *trained.other_class)
