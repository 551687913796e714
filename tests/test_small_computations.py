"""Code that computes something else than its version numbers say is found.

What makes two runs the same run; each hash is computed a second time by hand.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import shd_helpers
from shd_corpus.cochlea import sound
from shd_helpers import versions
from shd_helpers.events import loading
from shd_helpers.network import config, quantization
from shd_helpers.study import recipe, training
from shd_helpers.study.recipe import DEFAULTS, run_hash
from tests import ROOT, small_computations

PACKAGE = Path(shd_helpers.__file__).parent
ENGINE = Path("packages", "engine", "shd_engine")
COMMAND = [sys.executable, "-m", "tests.small_computations"]
OTHER_PYTHONS = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13)]
# What versions of Python write differently: absent fields, f-strings, lone surrogates.
SOURCE = """
def f(a, /, *b: int, c=None, **d) -> "x": return f"{a!r:>{c}} {b=} {{}}" "c" f"{d:%H {a}}"
class A(B, metaclass=C): x: int = 1j; y = (lambda: ..., {**a, 1: None}, "\\ud800\\u0378", 1e400)
match a:
    case [1, *_] | {"x": A(y=2), **rest} if b: pass
"""


def report(*version_names):
    """Return what is wrong with some version numbers, of which only these cases are computed."""
    return small_computations.report(small_computations.compute(version_names))


def test_this_code_computes_what_its_numbers_say():
    assert report("SPIKES", "NUMERICS") == ""


def test_the_hash_in_versions_is_that_of_this_code():
    assert versions.COMPUTING_CODE == versions.code_hash(), (
        "The computing code has changed. Check it, and record its hash: "
        "python -m tests.small_computations"
    )


def test_each_pattern_of_the_computing_modules_has_a_file(monkeypatch):
    for package, patterns in versions.MODULES.items():
        for pattern in patterns:
            monkeypatch.setattr(versions, "MODULES", {package: (pattern,)})
            assert versions.computing_files(), pattern


@pytest.mark.parametrize("python", [python for python in OTHER_PYTHONS if python])
def test_all_versions_of_python_hash_the_code_alike(python):
    """The module is run as a file, because this Python may have none of the packages."""
    code = (
        "import runpy, sys\n"
        "sys.path += sys.argv[3:]\n"
        "module = runpy.run_path(sys.argv[1])\n"
        "print(module['code_hash'](), module['hash_of']([sys.argv[2]]))"
    )
    folders = [str(ROOT), *(str(ROOT / "packages" / name) for name in ("corpus", "engine"))]
    command = [python, "-I", "-c", code, versions.__file__, SOURCE, *folders]
    found = subprocess.run(command, capture_output=True, text=True)
    if "command not found" in found.stderr:  # a shim of a version that isn't chosen
        pytest.skip(f"{python} doesn't run")
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [versions.code_hash(), versions.hash_of([SOURCE])]


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ('"""Other."""\n\n\ndef f(x):  # why\n    """Say more."""\n    return (x * 2)\n', True),
        ('def f(x):\n    return x * 2\n', True),
        ('"""Text."""\ndef f(x):\n    return x * 3\n', False),
        ('"""Text."""\ndef f(x):\n    return x * 2.0\n', False),
        ('"""Text."""\ndef f(x=None):\n    return x * 2\n', False),
        ('"""Text."""\ndef f(x):\n    "a"; "b"\n    return x * 2\n', False),
    ],
)  # fmt: skip
def test_comments_docstrings_and_layout_do_not_count(changed, is_same):
    source = '"""Text."""\ndef f(x):\n    """Double."""\n    return x * 2\n'
    same = versions.hash_of([changed]) == versions.hash_of([source])
    assert same == is_same


@pytest.mark.parametrize(
    ("module", "name", "value", "number"),
    [
        (training, "LR_GAMMA", 0.6, "NUMERICS"),
        (loading, "SEEN_SHARE", 0.12, "NUMERICS"),
        (config, "DELAY_MS", 27.0, "NUMERICS"),
        (config, "STUDY_STEP_MS", 2.9, "NUMERICS"),
        (quantization, "SPREAD", 2.0, "NUMERICS"),
        (sound, "RMS", 0.3, "SPIKES"),
    ],
)
def test_a_changed_constant_is_found(monkeypatch, module, name, value, number):
    monkeypatch.setattr(module, name, value)
    message = report(number)
    version = small_computations.number_of(number)
    assert message.startswith(f"versions.py: {number} is {version}, but")
    assert message.endswith(f"If it is intended, raise {number} to {version + 1}.")


@pytest.fixture
def copied(tmp_path):
    """A copy of both packages and of the tests in which code may be changed."""
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name)
    shutil.copytree(ROOT / ENGINE, tmp_path / ENGINE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()  # that of the tests reads other folders
    for name in ("small_computations.py", "small_computations.json"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    return tmp_path


def run_command(folder, **environment):
    """Run the command of a copy, or of this checkout."""
    search_path = os.pathsep.join([str(folder), str((folder / ENGINE).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": search_path} | environment
    return subprocess.run(COMMAND, cwd=folder, env=environment, capture_output=True, text=True)


def change(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
def test_the_command_records_code_that_computes_the_same_and_no_other(copied):
    code = copied / "shd_helpers" / "study" / "training.py"
    numbers = copied / "shd_helpers" / "versions.py"
    values = copied / "tests" / "small_computations.json"
    recorded = numbers.read_text()
    old_values = values.read_text()
    change(code, "LR_GAMMA = 0.5", "LR_GAMMA = 1 / 2")
    assert run_command(copied).returncode == 0
    assert numbers.read_text() != recorded and values.read_text() == old_values
    recorded = numbers.read_text()
    change(code, "LR_GAMMA = 1 / 2", "LR_GAMMA = 0.6")
    refused = run_command(copied)
    assert refused.returncode == 1 and "raise NUMERICS to 2" in refused.stderr
    assert numbers.read_text() == recorded and values.read_text() == old_values
    change(numbers, "NUMERICS = 1", "NUMERICS = 2")
    assert run_command(copied).returncode == 0
    assert values.read_text() != old_values
    assert re.findall('"[0-9a-f]{16}"', numbers.read_text()) != re.findall(
        '"[0-9a-f]{16}"', recorded
    )
    assert run_command(copied).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ mem[row, j]) - reset", "+ mem[row, j]) - 2 * reset"),
        ("spike_errors[slot, j] / (x * x)", "spike_errors[slot, j] / x"),
    ],
)
def test_a_changed_kernel_is_found(copied, old, new):
    """The copy keeps compiled code: numba compiles only the file that was changed."""
    change(copied / ENGINE / "kernels.py", old, new)
    found = run_command(copied)
    assert found.returncode == 1, found.stdout
    assert "versions.py: NUMERICS is" in found.stderr, found.stderr


@pytest.mark.slow  # compiles everything anew
def test_another_processor_computes_the_same_within_the_tolerance(copied):
    environment = {"NUMBA_CPU_NAME": "generic", "ATEN_CPU_CAPABILITY": "default"}
    environment["NUMBA_CACHE_DIR"] = str(copied / "numba")
    found = run_command(copied, **environment)
    assert found.returncode == 0, found.stderr


DATA = {"name": "hd", "train_sha256": "aa", "test_sha256": "bb"}
CONTENTS = {"train_sha256": "aa", "test_sha256": "bb"}


def by_hand(settings, contents=CONTENTS, numerics=1, *more):
    """Return the hash of what counts, with nothing but JSON and SHA-256."""
    text = json.dumps([settings, contents, numerics, *more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_setting_counts_by_name_and_value_and_locations_do_not():
    hashes = {
        run_hash({name: value, "dataset": "hd", "run_name": "mine"}, DATA)
        for name, value in (("slope", 4.0), ("slope", 3.0), ("beta", 4.0))
    }
    assert hashes == {by_hand({"slope": 4.0}), by_hand({"slope": 3.0}), by_hand({"beta": 4.0})}
    elsewhere = {"slope": 4.0, "dataset": "/another/folder", "run_name": "other"}
    assert run_hash(elsewhere, DATA) == by_hand({"slope": 4.0})


def test_data_count_by_their_content_and_not_by_their_name():
    assert run_hash({}, DATA | {"name": "renamed"}) == run_hash({}, DATA) == by_hand({})
    changed = CONTENTS | {"test_sha256": "cc"}
    assert run_hash({}, DATA | changed) == by_hand({}, changed) != by_hand({})


def test_the_version_of_what_the_code_computes_counts(monkeypatch):
    monkeypatch.setattr(recipe, "NUMERICS", 7)
    assert run_hash({"slope": 4.0}, DATA) == by_hand({"slope": 4.0}, CONTENTS, 7)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("seed", 1),
        ("kernel_size", 32),
        ("learn_beta", True),
        ("readout", "membrane"),
        ("protocol", "everybody"),
        ("circuit", "3-8-12 QAT"),
    ],
)
def test_a_setting_counts_unless_it_is_at_its_default(name, other):
    assert run_hash({name: DEFAULTS[name]}, DATA) == run_hash({}, DATA) == by_hand({})
    assert run_hash({name: other}, DATA) == by_hand({name: other})


def test_a_parameter_that_is_no_setting_always_counts():
    assert run_hash({"temperature": 0}, DATA) == by_hand({"temperature": 0})


def test_a_default_changes_only_with_the_version_of_what_the_code_computes():
    """Runs at a default don't say its value, so another default is another version.

    Where the data are and where the run is stored doesn't count.
    """
    counted = {name: value for name, value in DEFAULTS.items() if name not in recipe._LOCATIONS}
    text = json.dumps(counted, sort_keys=True)
    assert (recipe.NUMERICS, hashlib.sha256(text.encode()).hexdigest()[:8]) == (1, "b827bd01")


def test_another_network_counts_by_its_description():
    described = {"lif1": "mine.Neuron"}
    assert run_hash({}, DATA, described) == by_hand({}, CONTENTS, 1, described)
    assert run_hash({}, DATA, None) == by_hand({})


def test_a_users_object_counts_by_reference_and_content_wherever_its_file_is(tmp_path):
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("def boxcar(x):\n    return x\n")
    here = {"surrogate": f"{tmp_path}/here/mine.py:boxcar"}
    elsewhere = {"surrogate": f"{tmp_path}/elsewhere/mine.py:boxcar"}
    files = recipe.identify_user_code(here)
    first = run_hash(here, DATA | files)
    of_file = hashlib.sha256(b"def boxcar(x):\n    return x\n").hexdigest()
    digest = hashlib.sha256(f"{of_file}mine.py".encode()).hexdigest()
    contents = CONTENTS | {"user_code_sha256": f"mine.py {digest}"}
    assert first == by_hand({"surrogate": "mine.py:boxcar"}, contents)
    assert run_hash(elsewhere, DATA | recipe.identify_user_code(elsewhere)) == first
    other_name = {"surrogate": f"{tmp_path}/here/mine.py:other"}
    assert run_hash(other_name, DATA | files) != first
    (tmp_path / "here" / "mine.py").write_text("def boxcar(x):\n    return 2 * x\n")
    assert run_hash(here, DATA | recipe.identify_user_code(here)) != first
