"""The search for recipes: the same quasi-random points for every input, strangers to the test.

``python -m shd_helpers.sweeps.search`` writes ``sweeps/search.yaml``.
"""

from math import exp, log

import numpy as np
import yaml
from scipy.stats import qmc

from shd_helpers.network.config import STUDY_STEP_MS
from shd_helpers.sweeps.spec import SWEEPS

# From, to, both on a logarithmic scale. `beta` is searched as the membrane's time constant.
RANGES = {
    "slope": (0.5, 32.0),
    "tau_ms": (15.0, 500.0),
    "lr": (2.5e-4, 8e-3),
    "batch_size": (4, 128),  # powers of two
    "lr_step": (5, 30),  # epochs
}
N_POINTS = 16
TRAINING_SPEAKERS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)  # of the Heidelberg Digits' training file
INPUTS = {
    "700 x 1000": {"first_unit": 0, "pool_units": 1, "pool_steps": 1, "pool_threshold": 1},
    "183 x 333": {},
    "183 x 333, threshold 1": {"pool_threshold": 1},
    "183 x 100": {"pool_steps": 10},
    "61 x 333": {"pool_units": 9},
}


def recipes(seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the points of the search by name: values of notebook 3's parameters.

    The points are the first 16 of scrambled Sobol's sequence (scipy).

    Parameters
    ----------
    seed : int
        Scrambles.
    """
    points = qmc.Sobol(len(RANGES), seed=seed).random(N_POINTS)
    found = {}
    for number, point in enumerate(points):
        value = {
            name: exp(log(low) + x * (log(high) - log(low)))
            for x, (name, (low, high)) in zip(point, RANGES.items(), strict=True)
        }
        found[f"p{number:02d}"] = {
            "slope": float(f"{value['slope']:.3g}"),
            "beta": round(exp(-STUDY_STEP_MS / value["tau_ms"]), 4),
            "lr": float(f"{value['lr']:.3g}"),
            "batch_size": 2 ** round(np.log2(value["batch_size"])),
            "lr_step": round(value["lr_step"]),
        }
    return found


def tuning_speakers(seed: int = 0) -> list[int]:
    """Return the two training speakers that recipes are chosen on."""
    drawn = np.random.default_rng(seed).choice(TRAINING_SPEAKERS, 2, replace=False)
    return sorted(int(speaker) for speaker in drawn)


def sweep() -> dict:
    """Return the content of ``sweeps/search.yaml``."""
    return {
        "name": "search",
        "notebook": "03_model_training",
        "fixed": {
            "dataset": "hd",
            "validation": "speaker",
            "validation_speakers": ",".join(map(str, tuning_speakers())),
            "score_test": False,
        },
        "grid": {"input": INPUTS, "recipe": recipes()},
        "seeds": [0],
    }


def main() -> None:
    """Write the sweep's file."""
    header = (
        "# A recipe for each input: the same 16 quasi-random points, validated on two training\n"
        "# speakers who don't train. Written by python -m shd_helpers.sweeps.search.\n"
    )
    text = yaml.safe_dump(sweep(), sort_keys=False, default_flow_style=None, width=100)
    (SWEEPS / "search.yaml").write_text(header + text, encoding="utf-8")


if __name__ == "__main__":
    main()
