"""From the search for recipes to the final runs: three sweeps, each made of the one before.

``python -m tools.search`` writes ``sweeps/search.yaml``: the same quasi-random points
for every input. With the word ``finalists`` it writes ``finalists.yaml`` from the search's table,
with ``final`` ``final.yaml`` from the finalists'.
"""

import argparse
import sys
from math import exp, log

import numpy as np
import pandas as pd
import yaml
from scipy.stats import qmc

from shd_helpers.network.config import STUDY_STEP_MS
from shd_helpers.study.tables import TableError, read_table
from shd_helpers.sweeps.spec import SWEEPS

# From, to, both on a logarithmic scale. `beta` is searched as the membrane's time constant.
RANGES = {
    "slope": (0.5, 32.0),
    "tau_ms": (15.0, 500.0),
    "lr": (2.5e-4, 8e-3),
    "batch_size": (4, 128),  # powers of two
    "lr_step": (5, 30),  # epochs
}
N_POINTS, N_FINALISTS = 16, 3
N_SPEAKERS = 12
TRAINING_SPEAKERS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)  # of the Heidelberg Digits' training file
INPUTS: dict[str, dict] = {
    "700 x 1000": {"first_unit": 0, "pool_units": 1, "pool_steps": 1, "pool_threshold": 1},
    "183 x 333": {},
    "183 x 333, threshold 1": {"pool_threshold": 1},
    "183 x 100": {"pool_steps": 10},
    "61 x 333": {"pool_units": 9},
}
PRIMARY = ("183 x 333", "700 x 1000")  # is the first one worse than the second?
MARGIN = 3.0  # percent points; a larger loss would matter


def recipes(seed: int = 0) -> dict[str, dict]:
    """Return the points of the search by name: values of notebook 3's parameters.

    The points are the first 16 of scrambled Sobol's sequence (scipy).

    Parameters
    ----------
    seed : int
        Scrambles.
    """
    found: dict[str, dict] = {}
    for number, point in enumerate(qmc.Sobol(len(RANGES), seed=seed).random(N_POINTS)):
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


def strangers() -> list[int]:
    """Return the speakers of both files that nothing was tuned on."""
    return [i for i in range(N_SPEAKERS) if i not in tuning_speakers()]


def search() -> dict:
    """Return the content of ``sweeps/search.yaml``: all recipes for all inputs, one seed."""
    return choosing("search", {"input": INPUTS, "recipe": recipes()}, [0])


def finalists(table: pd.DataFrame) -> dict:
    """Return the content of ``sweeps/finalists.yaml``: each input's best three, two new seeds.

    Parameters
    ----------
    table : DataFrame
        The whole search, from `tables.read_table`.
    """
    found, best = recipes(), _best(table, "search", len(INPUTS) * N_POINTS)
    places = {
        f"{name}, {recipe}": INPUTS[name] | found[recipe]
        for name in INPUTS
        for recipe in best[name][:N_FINALISTS]
    }
    return choosing("finalists", {"finalist": places}, [1, 2])


def final(table: pd.DataFrame) -> dict:
    """Return the content of ``sweeps/final.yaml``: inputs, recipes, seeds and what is compared.

    Parameters
    ----------
    table : DataFrame
        The finalists' runs, from `tables.read_table`. Of each input's three recipes the one with
        the best mean over their two seeds is taken; the search's seed doesn't count, for it was
        high by luck, too.
    """
    names = table.finalist.str.rsplit(", ", n=1, expand=True)
    table = table.assign(input=names[0], recipe=names[1])
    best = _best(table, "finalists", 2 * N_FINALISTS * len(INPUTS))
    recipe_of = {name: recipes()[best[name][0]] for name in INPUTS}
    small, full = PRIMARY
    places: dict[str, dict] = {name: INPUTS[name] | recipe_of[name] for name in (*PRIMARY, *INPUTS)}
    for name, other in (PRIMARY, PRIMARY[::-1]):
        if recipe_of[name] != recipe_of[other]:  # else input and recipe are apart already
            places[f"{name}, recipe of {other}"] = INPUTS[name] | recipe_of[other]
        places[f"{name}, German"] = places[name] | {"language": "german"}
    others = [name for name in INPUTS if name not in PRIMARY]
    return {
        "name": "final",
        "notebook": "03_model_training",
        "fixed": {"dataset": "hd", "protocol": "leave_one_out"},
        "grid": {"input": places, "held_out": list(range(N_SPEAKERS))},
        "seeds": {
            **{name: [*range(5)] for name in (*PRIMARY, *(f"{n}, German" for n in PRIMARY))},
            "others": [0, 1],
        },
        "keep_predictions": True,
        "plan": {
            "strangers": strangers(),
            "margin": MARGIN,
            "primary": [*PRIMARY],
            "secondary": [
                *([name, full] for name in others),
                *([name, small] for name in others),
                *([name, name.partition(",")[0]] for name in places if "recipe of" in name),
            ],
            "replication": [f"{name}, German" for name in PRIMARY],
        },
    }


def choosing(name: str, grid: dict, seeds: list[int]) -> dict:
    """Return the content of a sweep that chooses: on the tuning speakers, without the test file.

    Parameters
    ----------
    name : str
        The sweep's.
    grid : dict
        Its axes.
    seeds : list of int
        Of each configuration.
    """
    return {
        "name": name,
        "notebook": "03_model_training",
        "fixed": {
            "dataset": "hd",
            "validation": "speaker",
            "validation_speakers": ",".join(map(str, tuning_speakers())),
            "score_test": False,
        },
        "grid": grid,
        "seeds": seeds,
    }


def _best(table: pd.DataFrame, name: str, n_runs: int) -> dict[str, list[str]]:
    """Return each input's recipes by mean validation accuracy, the best first."""
    if len(table) != n_runs:
        raise TableError(
            f"{name}: {len(table)} of {n_runs} runs have ended well. Run make sweep SWEEP={name}"
        )
    means = table.groupby(["input", "recipe"]).validation_accuracy.mean()
    ranked = means.sort_values(ascending=False, kind="stable").reset_index()
    return {key: group.recipe.tolist() for key, group in ranked.groupby("input")}


STEPS = {
    "search": (
        search,
        "A recipe for each input: the same 16 quasi-random points, validated on two training\n"
        "speakers who don't train.",
    ),
    "finalists": (
        lambda: finalists(read_table("search_hd")),
        "Each input's best three recipes of the search, with two new seeds, validated as there.",
    ),
    "final": (
        lambda: final(read_table("finalists_hd")),
        "The answer: each input with its best finalist, every speaker left out once. Inputs,\n"
        "recipes, seeds, comparisons and margin were committed before the first run. The margin\n"
        "(percent points) was chosen after a first look at the official test file. What is\n"
        "compared, `plan`: the first of each pair is the smaller input, or the other recipe.\n"
        "German's seeds 2 to 4 joined on 2026-11-28, when its first two had disagreed by 10.5\n"
        "points: five are final, whatever comes out.",
    ),
}


def main() -> None:
    """Write the sweep of the step that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.search", description=__doc__)
    parser.add_argument("step", nargs="?", choices=STEPS, default="search")
    step = parser.parse_args().step
    make, why = STEPS[step]
    try:
        content = make()
    except TableError as error:
        sys.exit(f"sweeps/{step}.yaml isn't written.\n{error}")
    lines = [*why.split("\n"), f"Written by python -m tools.search {step}."]
    header = "".join(f"# {line}\n" for line in lines)
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
    (SWEEPS / f"{step}.yaml").write_text(header + text, encoding="utf-8")


if __name__ == "__main__":
    main()
