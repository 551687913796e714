"""From the contest of networks to the runs that judge them: sweeps, each made of the ones before.

``python -m shd_helpers.sweeps.contest`` writes ``sweeps/contest.yaml``: the same quasi-random
recipes for every kind of network, the one without spikes among them. With the word ``judged``,
``inputs`` or ``benchmark`` it writes that sweep; what was chosen comes from the contest's table,
from the ladder and from the final runs' file.
"""

import pandas as pd

from shd_helpers.study.tables import TableError, read_table
from shd_helpers.sweeps.search import (
    INPUTS,
    N_SPEAKERS,
    RANGES,
    STRENGTH,
    TRAINING_SPEAKERS,
    choosing,
    points,
    strangers,
    write_step,
)
from shd_helpers.sweeps.yaml_file import SWEEPS, read_yaml

CONTEST_RANGES = RANGES | {
    "slope": (0.5, 8.0),
    "tau_ms": (15.0, 200.0),
    "batch_size": (8, 64),
    "lr_step": (15, 60),
    "augmentation": (0.5, 2.0),  # its strength, as a share of the ladder's
    "dropout": (0.02, 0.3),
}
N_CONTEST = 8
EPOCHS = 60
_PER_NEURON = {"learn_beta": True, "learn_threshold": True, "readout": "membrane"}
CONTESTANTS: dict[str, dict] = {
    "one hidden layer": _PER_NEURON | {"n_delays": 8},
    "two hidden layers": _PER_NEURON | {"n_delays": 8, "n_layers": 2, "n_hidden": 128},
    "shared weights": _PER_NEURON
    | {"n_delays": 8, "n_hidden": 16, "kernel_size": 32, "stride": 8},  # the ladder's last rung
    "convolutional": {"network": "convolutional"},
}
COMPARISON = "convolutional"  # has no spikes
LADDER_S = "one hidden layer"  # the network whose ingredients the ladder has
# its three largest steps, and what undoes each
INGREDIENTS: dict[str, dict] = {
    "augmentation": dict.fromkeys((*STRENGTH, "dropout"), 0),
    "delays": {"n_delays": 1},
    "beta per neuron": {"learn_beta": False},
}
SIZES = (32, 64, 128)  # hidden neurons of the one layer: how small may it be?


def contest() -> dict:
    """Return the content of ``sweeps/contest.yaml``: as many recipes for each kind of network."""
    recipes = points(CONTEST_RANGES, N_CONTEST)
    content = choosing("contest", {"contestant": CONTESTANTS, "recipe": recipes}, [0])
    content["fixed"] |= {"epochs": EPOCHS}
    return content


def chosen(table: pd.DataFrame) -> dict[str, dict]:
    """Return the contestants with their best recipes, the best of the spiking ones first.

    Parameters
    ----------
    table : DataFrame
        The whole contest, from `tables.read_table`.

    Raises
    ------
    TableError
        If runs are missing.
    """
    if len(table) != N_CONTEST * len(CONTESTANTS):
        raise TableError("contest: not all runs have ended well. Run make sweep SWEEP=contest")
    ranked = table.sort_values("validation_accuracy", ascending=False, kind="stable")
    best = ranked.drop_duplicates("contestant")
    best = best.sort_values("contestant", key=lambda name: name == COMPARISON, kind="stable")
    recipes = points(CONTEST_RANGES, N_CONTEST)
    pairs = zip(best.contestant, best.recipe, strict=True)
    return {name: CONTESTANTS[name] | recipes[recipe] for name, recipe in pairs}


def judged(networks: dict[str, dict]) -> dict:
    """Return the content of ``sweeps/judged.yaml``: each network, every speaker left out once.

    The ladder's network runs without each of three ingredients, too.

    Parameters
    ----------
    networks : dict of str to dict
        From `chosen`.
    """
    best, whole = next(iter(networks)), networks[LADDER_S]
    less = {f"{LADDER_S}, no {name}": whole | off for name, off in INGREDIENTS.items()}
    return _final("judged", "leave_one_out", {"model": networks | less}) | {
        "plan": {
            "strangers": strangers(),
            "not_chosen_by": [i for i in range(N_SPEAKERS) if i not in TRAINING_SPEAKERS],
            "primary": [best, COMPARISON],
            "secondary": [
                *([name, best] for name in networks if name not in (best, COMPARISON)),
                *([LADDER_S, name] for name in less),
            ],
        },
    }


def inputs() -> dict:
    """Return the content of ``sweeps/inputs.yaml``: the study's question with a better recipe.

    The recipe is the ladder's last one without delays; on 700 channels words move as far.
    """
    ladder = read_yaml(SWEEPS / "ladder.yaml")
    recipe = ladder["fixed"] | ladder["grid"]["rung"]["membrane readout"]
    for name in ("dataset", "validation", "score_test", "epochs"):
        recipe.pop(name)  # of the sweep, not of the recipe
    places = {
        name: INPUTS[name] | recipe
        for name in ("183 x 333", "183 x 333, threshold 1", "700 x 1000")
    }
    places["700 x 1000"]["shift_units"] *= 3
    small, low, full = places
    content = _final("inputs", "leave_one_out", {"input": places})
    pairs = {"primary": [small, full], "secondary": [[low, full], [low, small]]}
    return content | {"plan": {"strangers": strangers()} | pairs}


def benchmark(networks: dict[str, dict]) -> dict:
    """Return the content of ``sweeps/benchmark.yaml``: 20 classes, the official split.

    Parameters
    ----------
    networks : dict of str to dict
        From `chosen`.
    """
    study = read_yaml(SWEEPS / "final.yaml")["grid"]["input"]["183 x 333"]
    sizes = {f"{n} hidden neurons": networks[LADDER_S] | {"n_hidden": n} for n in SIZES}
    models = {name: place | {"epochs": EPOCHS} for name, place in (networks | sizes).items()}
    models = {"study": study | {"epochs": 30}} | models
    content = _final("benchmark", "official", {"model": models})
    del content["fixed"]["epochs"]
    # nothing is chosen here: as many words train as can
    content["fixed"] |= {"language": "both", "validation_fraction": 0.01}
    five = {name: [*range(5)] for name in ("study", *networks)}
    return content | {"seeds": five | {"others": [0]}}


def _final(name: str, protocol: str, grid: dict) -> dict:
    speakers = {"held_out": [*range(N_SPEAKERS)]} if protocol == "leave_one_out" else {}
    return {
        "name": name,
        "notebook": "03_model_training",
        "fixed": {"dataset": "hd", "protocol": protocol, "epochs": EPOCHS},
        "grid": grid | speakers,
        "seeds": [0],
        "keep_predictions": True,
    }


STEPS = {
    "contest": (
        contest,
        "Which network a new speaker wants, and how trained: the same 8 quasi-random points for\n"
        "each kind, validated as the search; the one without spikes is the comparison.",
    ),
    "judged": (
        lambda: judged(chosen(read_table("contest_hd"))),
        "The contest's networks with their best recipes, and the ladder's without each of three\n"
        "ingredients: every speaker left out once. Networks, recipes and comparisons were\n"
        "committed before the first run.",
    ),
    "inputs": (
        inputs,
        "What downsizing costs where words are augmented: three inputs with the ladder's recipe\n"
        "before delays, every speaker left out once. Committed before the first run.",
    ),
    "benchmark": (
        lambda: benchmark(chosen(read_table("contest_hd"))),
        "The benchmark: 20 classes, the official split of the remade SHD, the study's network and\n"
        "the contest's, and smaller ones. Committed before the first run.",
    ),
}


if __name__ == "__main__":
    write_step("contest", STEPS, __doc__)
