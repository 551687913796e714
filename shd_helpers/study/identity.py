"""Give every run a hash, so that a run which exists already isn't executed again.

Training takes minutes, and a sweep has hundreds of runs. So before a sweep executes a run, it
searches its table and the run's folder for a result with the same hash.
Two results are of the same run if their hashes are equal. The hash is made of everything that
decides what the run computes: its settings, its data and the version numbers of the code. The text
of the code doesn't count, so a comment or a moved function outdates no result.

`run_hash` computes the hash of four things:

1. The settings that aren't at their defaults. The name of the run folder and the location of the
   data set don't count. A setting that refers to an object in a user's file, such as
   ``my folder/mine.py:boxcar``, counts without the folder.
2. The content of the data: the SHA-256 of each file that the run reads, among them the
   user's own Python files, and the modules beside these that they import. The data set's name
   doesn't count.
3. `NUMERICS`, the version of what the code computes. Whoever changes a default increases it, too.
4. The description of the network, if it isn't the one that the settings build.

An example has these parameters (a run has more) and this data:

    {"dataset": "hd", "run_name": "mine", "language": "german", "slope": 3.0, "seed": 0}

    {"name": "hd", "train_sha256": "aa", "test_sha256": "bb"}

The hash is made of this text in JSON, whose keys are sorted. `seed` is absent, because 0 is its
default:

    [{"language": "german", "slope": 3.0}, {"test_sha256": "bb", "train_sha256": "aa"}, 1]

The first 16 hexadecimal digits of the text's SHA-256 are the run's hash, 680f3aa18d0d72aa. The 1
at the end is `NUMERICS`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shd_corpus.encoders import COCHLEA
from shd_helpers.data import fingerprint, obtain
from shd_helpers.study.recipe import DEFAULTS
from shd_helpers.user_code import is_reference, label_of, reference_sha256
from shd_helpers.versions import NUMERICS

_LOCATIONS = ("dataset", "run_name")
REFERRING = ("network", "surrogate", "neuron")  # settings that may refer to code of the user's
N_DIGITS = 16  # of a hash: 64 bits, enough for billions of runs


def obtain_and_identify(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the name and the hashes of all files that a run with these parameters reads.

    Python files of the user's own are among them: see `identify_user_code`.
    """
    objects = identify_user_code(parameters)
    files = obtain(parameters["dataset"], parameters.get("encoder", COCHLEA))
    return fingerprint(files) | objects


def references(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that refer to objects in a user's files."""
    return {name: parameters[name] for name in REFERRING if is_reference(parameters.get(name))}


def identify_user_code(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies the user's own Python files that a run with these parameters reads."""
    files = sorted({reference_sha256(text) for text in references(parameters).values()})
    return {"user_code_sha256": " ".join(files)} if files else {}


def run_hash(
    parameters: Mapping[str, Any],
    data: Mapping[str, str],
    other_network: Mapping[str, str] | None = None,
) -> str:
    """Return the hash of a run; runs with equal hashes are the same run.

    The module's docstring lists what counts and has an example.
    """
    labels = {name: label_of(text) for name, text in references(parameters).items()}
    counted = {
        name: value
        for name, value in {**parameters, **labels}.items()
        if name not in _LOCATIONS and not (name in DEFAULTS and value == DEFAULTS[name])
    }
    contents = {name: digest for name, digest in data.items() if name != "name"}
    hashed: list[object] = [counted, contents, NUMERICS]
    if other_network:
        hashed.append(dict(other_network))
    text = json.dumps(hashed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]
