"""Check that the code still computes the same values as the code that made the committed results.

A run counts as done when its hash is known. Instead of the code, the hash holds the number
`NUMERICS` of `shd_helpers.versions`, and the content of data files, which `SPIKES` and `WAVEFORMS`
outdate. So a person who changes what the code computes, and forgets to increase a version number,
would see old results under the name of new ones. This module finds most such changes. It runs the
small computations of `behavior_cases`, and compares their outcomes with the values in
``behavior.json``, within a tolerance for rounding. Sweeps do this before they reuse rows, and
notebooks before they write a run.

After an intended change, increase the version number and write the values again with
``python -m shd_helpers.study.behavior --write``.
"""

import argparse
import contextlib
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite.binding import get_host_cpu_name

from shd_helpers import versions
from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.network.engine import ENGINES
from shd_helpers.paths import data_dir
from shd_helpers.study.behavior_cases import cases_by_version
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.threads import one_thread

VALUES = Path(__file__).parents[1] / "behavior.json"

# Another processor adds in another order, which changes the last digits. The changed formulas and
# constants in tests/test_behavior.py move some of the values further than this.
RELATIVE_TOLERANCE = 2e-4
ABSOLUTE_TOLERANCE = 2e-4
# The cochlea's spikes are drawn, so a rounded probability may add, remove or delay one or a few.
SPIKE_TOLERANCE = 2e-3
ONE_SPIKE = 1.0  # also one millisecond of a mean time

# By the name of a version number in versions.py: what it means for old results when it is raised.
CONSEQUENCES = {
    "SPIKES": "data sets that were made by this code are made again, and runs that trained on the "
    "old ones no longer count as done",
    "WAVEFORMS": "augmented recordings are made again, and runs that trained on the old ones no "
    "longer count as done",
    "NUMERICS": "no row of a table and no run folder counts as done any more, and sweeps run all "
    "of them again",
}


class BehaviorError(ValueError):
    """Code that computes different results than its version number says; names what to do."""


def differences(
    wanted: Mapping[str, Any],
    version_names: Sequence[str] = tuple(CONSEQUENCES),
    without: Sequence[str] = (),
) -> dict[str, list[str]]:
    """Compute the cases of some version numbers, and compare them with the wanted values.

    Parameters
    ----------
    wanted : mapping
        The content of ``behavior.json``.
    version_names : sequence of str
        The version numbers whose cases are computed, such as ``NUMERICS``.
    without : sequence of str
        Names of cases that aren't computed.

    Returns
    -------
    dict
        The cases that differ, such as ``training (losses)``, by the name of their version number;
        empty where all agree.
    """
    different: dict[str, list[str]] = {}
    for version_name, cases in compute(version_names, without).items():
        for case, today in cases.items():
            committed = wanted["values"][version_name].get(case, {})
            names = []
            for name in today | committed:
                if not _agree(today.get(name), committed.get(name), version_name):
                    names.append(name)
            if names:
                described = f"{case} ({', '.join(names)})"
                different.setdefault(version_name, []).append(described)
    return different


def compute(
    version_names: Sequence[str], without: Sequence[str] = ()
) -> dict[str, dict[str, dict[str, list[float] | str]]]:
    """Compute all cases of some version numbers.

    Parameters
    ----------
    version_names : sequence of str
        The version numbers whose cases are computed, such as ``NUMERICS``.
    without : sequence of str
        Names of cases that aren't computed.

    Returns
    -------
    dict
        The values of each case, by the name of its version number and by its own name.
    """
    cases = cases_by_version()
    computed = {}
    with one_thread():  # for products this small, waiting for a second thread takes longer
        for version_name in version_names:
            computed[version_name] = {
                name: dict(case())
                for name, case in cases[version_name].items()
                if name not in without
            }
    return computed


def _agree(
    today: list[float] | str | None, wanted: list[float] | str | None, version_name: str
) -> bool:
    """Return whether a value is the committed one, up to how processors round."""
    if not isinstance(today, list) or not isinstance(wanted, list):
        return today == wanted
    relative = RELATIVE_TOLERANCE
    absolute = ABSOLUTE_TOLERANCE
    if version_name == "SPIKES":
        relative = SPIKE_TOLERANCE
        absolute = ONE_SPIKE
    return len(today) == len(wanted) and np.allclose(today, wanted, relative, absolute)


def idle_cases(recipe: Recipe) -> tuple[str, ...]:
    """Return the cases of features that a run doesn't use, and whose code takes long to compile.

    They can't change the run, so the first run of an installation need not wait for them.

    Parameters
    ----------
    recipe : Recipe
        The run's settings.

    Returns
    -------
    tuple of str
        Names of cases of `NUMERICS`.
    """
    idle = []
    if not recipe.augmentation:
        idle.append("augmentation")
    if not recipe.network.kernel_size:
        idle += [f"shared weights ({engine})" for engine in ENGINES]
    return tuple(idle)


@cache
def check_behavior(
    version_names: tuple[str, ...] = tuple(CONSEQUENCES), without: tuple[str, ...] = ()
) -> None:
    """Raise BehaviorError if this code's results are not those of its version numbers.

    It is computed once in a process for the same arguments.

    Parameters
    ----------
    version_names : tuple of str
        The version numbers to check. Default: all. Whoever writes a run needs `NUMERICS` alone,
        because the run's hash holds the content of its data files.
    without : tuple of str
        Names of cases that aren't computed, from `idle_cases`.

    Raises
    ------
    BehaviorError
        If the results differ from a number's. The message names cases, number and remedy.
    """
    message = report(version_names, without)
    if message:
        raise BehaviorError(message)


def check_code() -> None:
    """Do the same as `check_behavior`, but only once for the same code on this machine.

    In a new process the check takes several seconds, although the computation alone takes less than
    one. The rest goes into what nothing but the check needs at once: it imports the cochlea and
    pandas, and loads the compiled code of every kernel. So a passed check leaves an empty file in
    ``data/cache``. Its name depends on all files of the package, the versions of the packages that
    it uses, and the processor.

    Raises
    ------
    BehaviorError
        As `check_behavior` does.
    """
    digest = hashlib.sha256(get_host_cpu_name().encode())
    for name in ("torch", "snntorch", "numpy", "numba", "scipy"):
        digest.update(f"{name} {version(name)}\n".encode())
    for path in sorted(VALUES.parent.rglob("*")):
        if path.suffix in (".py", ".json"):
            digest.update(f"{path.relative_to(VALUES.parent)}\n".encode() + path.read_bytes())
    passed = data_dir() / "cache" / f"behavior_{digest.hexdigest()[:20]}"
    if passed.exists():
        return
    check_behavior()
    with contextlib.suppress(OSError):  # it is only computed again
        passed.parent.mkdir(parents=True, exist_ok=True)
        for old in passed.parent.glob("behavior_*"):
            old.unlink(missing_ok=True)
        passed.touch()


def report(version_names: Sequence[str] = tuple(CONSEQUENCES), without: Sequence[str] = ()) -> str:
    """Check version numbers, and say what is wrong with them and what to do.

    Parameters
    ----------
    version_names : sequence of str
        The version numbers to check, such as ``NUMERICS``. That none was raised without new values
        in ``behavior.json`` is checked for all of them.
    without : sequence of str
        Names of cases that aren't computed.

    Returns
    -------
    str
        A message, or an empty text if all is well.
    """
    wanted = json.loads(VALUES.read_text(encoding="utf-8"))
    write = "write the values of today's code: python -m shd_helpers.study.behavior --write"
    current = _current_versions()
    for name, version_number in current.items():
        if version_number != wanted["versions"][name]:
            return (
                f"{VALUES.name}: has the results of {name} {wanted['versions'][name]}, but "
                f"versions.py says {version_number}. If you have raised it, {write}. Otherwise "
                "restore versions.py: git checkout HEAD -- shd_helpers/versions.py"
            )
    sentences = []
    for name, cases in differences(wanted, version_names, without).items():
        sentences.append(
            f"shd_helpers/versions.py: {name} is {current[name]}, but this code computes different "
            f"results than that version: {'; '.join(cases)}. If the change is a mistake, undo it. "
            f"If it is intended, raise {name} to {current[name] + 1} and {write}. "
            f"Then {CONSEQUENCES[name]}."
        )
    return " ".join(sentences)


def _current_versions() -> dict[str, int]:
    """Return the version numbers of versions.py, by name."""
    return {name: getattr(versions, name) for name in CONSEQUENCES}


def write_values() -> None:
    """Compute the values of today's code, and write them to ``behavior.json``."""
    content = {"versions": _current_versions(), "values": compute(tuple(CONSEQUENCES))}
    with atomic(VALUES) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Check the code against the committed values, or write them, from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m shd_helpers.study.behavior",
        description="Check that this code still computes the same values as the code that made the "
        "committed results.",
    )
    parser.add_argument("--write", action="store_true", help="write the values of today's code")
    if parser.parse_args().write:
        write_values()
        print(f"Wrote {VALUES}")
    elif message := report():
        sys.exit(message)
    else:
        listed = [f"{name} {number}" for name, number in _current_versions().items()]
        print(f"The code computes the same values as {', '.join(listed)}.")


if __name__ == "__main__":
    run(main)
