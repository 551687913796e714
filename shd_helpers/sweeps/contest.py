"""From the contest of networks to the runs that judge them: sweeps, each made of the ones before.

``python -m shd_helpers.sweeps.contest`` writes ``sweeps/contest.yaml``: the same quasi-random
recipes for every kind of network, the one without spikes among them. With the word ``judged``,
``inputs``, ``adapting``, ``benchmark`` or ``best`` it writes that sweep; what was chosen comes from
the tables of the contest and of the adapting neurons, from the ladder and from the final runs'
file.
"""

import pandas as pd

from shd_helpers.study.tables import TableError, read_table
from shd_helpers.sweeps.spec import SWEEPS, read_yaml
from tools.search import (
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

CONTEST_RANGES = RANGES | {
    "slope": (0.5, 8.0),
    "tau_ms": (15.0, 200.0),
    "batch_size": (8, 64),
    "lr_step": (15, 60),
    "augmentation": (0.5, 2.0),  # its strength, as a share of the ladder's
    "dropout": (0.02, 0.3),
}
N_CONTEST = 8
N_VALIDATED = 846  # words of speakers 8 and 9
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
FULL, RICHER = "one hidden layer", "two hidden layers"
# the three that matter most, and what undoes each
INGREDIENTS: dict[str, dict] = {
    "augmentation": dict.fromkeys((*STRENGTH, "dropout"), 0),
    "delays": {"n_delays": 1},
    "shared weights": {"kernel_size": 0, "n_hidden": 256},
}
NOT_SHARED = "no shared weights"
N_FULL = 128  # neurons of a full layer with fewer than 200,000 parameters
SIZES = (4, 8, 32)  # neurons at a place instead of 16: how small may the network be?


def contest() -> dict:
    """Return the content of ``sweeps/contest.yaml``: as many recipes for each kind of network."""
    recipes = points(CONTEST_RANGES, N_CONTEST)
    content = choosing("contest", {"contestant": CONTESTANTS, "recipe": recipes}, [0])
    content["fixed"] |= {"epochs": EPOCHS}
    return content


def chosen(table: pd.DataFrame) -> dict[str, dict]:
    """Return the contestants with their best recipes, the chosen spiking network first.

    It is the one with the fewest accumulates among those that are, with their best recipes, within
    one standard error of the highest accuracy. The comparison comes last.

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
    best = ranked.drop_duplicates("contestant").set_index("contestant")
    spiking = best.drop(COMPARISON)
    highest = spiking.validation_accuracy.max()
    error = (highest * (1 - highest) / N_VALIDATED) ** 0.5
    near = spiking[spiking.validation_accuracy >= highest - error]
    first = near.effective_acs.idxmin()
    recipes = points(CONTEST_RANGES, N_CONTEST)
    order = [first, *spiking.index.drop(first), COMPARISON]
    return {name: CONTESTANTS[name] | recipes[best.recipe[name]] for name in order}


def judged(networks: dict[str, dict]) -> dict:
    """Return the content of ``sweeps/judged.yaml``: every speaker left out once.

    The chosen spiking network, the same without each of its ingredients, the ladder's full layer,
    and the comparison.

    Parameters
    ----------
    networks : dict of str to dict
        From `chosen`.
    """
    best, whole = next(iter(networks.items()))
    less = {f"no {name}": whole | off for name, off in INGREDIENTS.items() if whole | off != whole}
    others = {name: networks[name] for name in (FULL, COMPARISON)}
    models = {best: whole} | others | less
    return _final("judged", "leave_one_out", {"model": models}) | {
        "plan": {
            "strangers": strangers(),
            "not_chosen_by": [i for i in range(N_SPEAKERS) if i not in TRAINING_SPEAKERS],
            "primary": [best, COMPARISON],
            "secondary": [[best, name] for name in models if name not in (best, COMPARISON)],
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


def best_of_pairs(name: str, table: pd.DataFrame) -> dict[str, dict]:
    """Return the network with the highest mean over the pairs of speakers of a sweep, by name.

    Parameters
    ----------
    name : str
        The sweep: `adaptation` or `fewer_parameters`.
    table : DataFrame
        That whole sweep, from `tables.read_table`.

    Raises
    ------
    TableError
        If runs are missing.
    """
    sweep = read_yaml(SWEEPS / f"{name}.yaml")
    (axis, places), (_, pairs) = sweep["grid"].items()
    if len(table) != len(places) * len(pairs):
        raise TableError(f"{name}: not all runs have ended well. Run make sweep SWEEP={name}")
    name = table.groupby(axis, sort=False).validation_accuracy.mean().idxmax()
    recipe = sweep["fixed"] | places[name]
    for key in ("dataset", "language", "validation", "score_test"):
        recipe.pop(key)  # of the sweep, not of the recipe
    return {name: recipe}


def adapting(networks: dict[str, dict], adapts: dict[str, dict]) -> dict:
    """Return the content of ``sweeps/adapting.yaml``: every speaker left out once.

    Parameters
    ----------
    networks, adapts : dict of str to dict
        From `chosen`, and `best_of_pairs` of the sweep `adaptation`.
    """
    ((name, place),) = adapts.items()
    pairs = {"primary": [name, COMPARISON], "secondary": [[name, NOT_SHARED]]}
    # on the inputs of the others, without adaptation, and the comparison on its inputs; they
    # joined one after the other, when the runs before were known
    low = name.removesuffix(", threshold 1") + ", threshold 2"
    plain = name.replace(", adapting", "")
    other = f"{COMPARISON}, threshold 1"
    models = adapts | {low: place | {"pool_threshold": 2}, plain: place | {"adapt_ms": 0.0}}
    models |= {other: {"epochs": EPOCHS} | networks[COMPARISON] | {"pool_threshold": 1}}
    later = [[low, COMPARISON], [low, NOT_SHARED], [name, low], [name, plain]]
    pairs |= {"joined": later, "last": [[name, other], [other, COMPARISON]]}
    content = _final("adapting", "leave_one_out", {"model": models})
    del content["fixed"]["epochs"]
    return content | {"plan": {"strangers": strangers()} | pairs}


def benchmark(networks: dict[str, dict], adapts: dict[str, dict], fewer: dict[str, dict]) -> dict:
    """Return the content of ``sweeps/benchmark.yaml``: 20 classes, the official split.

    Parameters
    ----------
    networks, adapts, fewer : dict of str to dict
        From `chosen`, and `best_of_pairs` of the sweeps `adaptation` and `fewer_parameters`.
    """
    study = read_yaml(SWEEPS / "final.yaml")["grid"]["input"]["183 x 333"]
    best, whole = next(iter(networks.items()))
    full = whole | INGREDIENTS["shared weights"]  # the best of `judged` for new speakers
    one = {f"{best}, {n} at a place": whole | {"n_hidden": n} for n in SIZES}
    one |= {f"{NOT_SHARED}, {N_FULL} neurons": full | {"n_hidden": N_FULL}}
    ((name, last),) = adapts.items()
    one |= {COMPARISON: networks[COMPARISON]}
    five = {best: whole, NOT_SHARED: full, RICHER: networks[RICHER]} | adapts
    five |= {f"{name}, {N_FULL} neurons": last | {"n_hidden": N_FULL}} | fewer
    models = {"study": study | {"epochs": 30}}
    models |= {name: {"epochs": EPOCHS} | place for name, place in (one | five).items()}
    content = _final("benchmark", "official", {"model": models})
    del content["fixed"]["epochs"]
    # nothing is chosen here: as many words train as can
    content["fixed"] |= {"language": "both", "validation_fraction": 0.01}
    return content | {"seeds": {name: [*range(5)] for name in ("study", *five)} | {"others": [0]}}


def best(networks: dict[str, dict]) -> dict:
    """Return the content of ``sweeps/best.yaml``: the chosen spiking network, to be used.

    Parameters
    ----------
    networks : dict of str to dict
        From `chosen`.
    """
    name = next(iter(networks))
    content = _final("best", "official", {"model": {name: networks[name]}})
    return content | {"seeds": [*range(5)], "keep_predictions": False}


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
        "The network that the contest chose, the same without each of three ingredients, the\n"
        "ladder's full layer, and the comparison: every speaker left out once. Committed before\n"
        "the first run.",
    ),
    "inputs": (
        inputs,
        "What downsizing costs where words are augmented: three inputs with the ladder's recipe\n"
        "before delays, every speaker left out once. Committed before the first run.",
    ),
    "adapting": (
        lambda: adapting(
            chosen(read_table("contest_hd")),
            best_of_pairs("adaptation", read_table("adaptation_hd")),
        ),
        "The best network of the sweep adaptation, every speaker left out once, beside two of the\n"
        "sweep judged. Committed before the first run, but for three that joined one after the\n"
        "other, when the runs before were known: the same network with threshold 2, as those two\n"
        "have, the same without adaptation, and the comparison with threshold 1.",
    ),
    "benchmark": (
        lambda: benchmark(
            chosen(read_table("contest_hd")),
            best_of_pairs("adaptation", read_table("adaptation_hd")),
            best_of_pairs("fewer_parameters", read_table("fewer_parameters_hd")),
        ),
        "The benchmark: 20 classes, the official split of the remade SHD, the study's network and\n"
        "the contest's, smaller ones, a full layer with the chosen recipe, which joined when\n"
        "every speaker had judged it, and the best of the sweeps adaptation and fewer_parameters,\n"
        "which joined last. Committed before their first runs.",
    ),
    "best": (
        lambda: best(chosen(read_table("contest_hd"))),
        "The spiking network that the contest chose, on the official split, to be used as those\n"
        "of the sweep networks. Nothing is chosen here.",
    ),
}


if __name__ == "__main__":
    write_step("contest", STEPS, __doc__)
