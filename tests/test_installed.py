"""The package as pip installs it from its wheel: without a checkout, git, network and a write bit.

The libraries that it needs aren't installed anew, which would need a network. The new environment
reads them from that of the tests. Its own copy of the package comes before the one there.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import soundfile

import shd_helpers
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.hear import Listener
from shd_helpers.paths import ROOT
from tests.sweep_home import Home

pytestmark = pytest.mark.slow
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
OFFLINE = ["--no-deps", "--no-index", "--no-build-isolation", "-q"]
PACKAGES = [
    path.parent for path in (*ROOT.glob("shd_*/__init__.py"), *ROOT.glob("*/*/shd_*/__init__.py"))
]
# Otherwise pip would find the package in the checkout, and install nothing.
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
# Root may write everywhere, unless it gives up its capabilities.
WITHOUT_CAPABILITIES = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution of a copy: a build leaves files there."""
    folder = tmp_path_factory.mktemp("wheel")
    made = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in ("packages", "applications", "shd_helpers", "results/networks"):
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=made)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "copy")
    command = [sys.executable, "-c", BUILD_SDIST, str(folder)]
    subprocess.run(command, cwd=folder / "copy", env=CLEAN, check=True, stdout=subprocess.DEVNULL)
    (source,) = folder.glob("*.tar.gz")
    subprocess.run([*PIP, "wheel", *OFFLINE, "-w", str(folder), str(source)], env=CLEAN, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A new environment with the wheel, in which no file can be written."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    into = [*PIP, "--python", str(python), "install"]
    subprocess.run([*into, *OFFLINE, "--no-compile", str(wheel)], env=CLEAN, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    libraries = [path for path in sys.path if Path(path).name == packages.name]
    (packages / "libraries.pth").write_text("\n".join(libraries), encoding="utf-8")
    set_writable(packages, False)
    yield folder
    set_writable(packages, True)  # so that pytest can remove it


def set_writable(folder, writable):
    for path in [folder, *folder.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IWUSR if writable else mode & ~0o222)


def files(folder):
    """Return the size and the time of each file in a folder."""
    found = {}
    for path in folder.rglob("*"):
        status = path.stat()
        found[path] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture
def user(environment, tmp_path):
    """A user's folders, and a function that starts a program of the environment there."""
    work = tmp_path / "a folder"
    home = tmp_path / "home"
    work.mkdir()
    home.mkdir()
    nowhere = "http://127.0.0.1:9"  # nobody listens there
    variables = {
        "PATH": str(environment / "bin"),  # without git
        "HOME": str(home),
        "http_proxy": nowhere,
        "https_proxy": nowhere,
    }
    privileges = []
    if os.geteuid() == 0:
        privileges = WITHOUT_CAPABILITIES
        if subprocess.run([*privileges, "true"], capture_output=True).returncode:
            pytest.skip("root can write everywhere here, because setpriv can't take that from it")
    setpriv = [shutil.which(name) or name for name in privileges[:1]] + privileges[1:]

    def run(program, *arguments):
        command = [*setpriv, str(environment / "bin" / program), *map(str, arguments)]
        ended = subprocess.run(command, cwd=work, env=variables, capture_output=True, text=True)
        return ended.returncode, ended.stdout, ended.stderr

    (packages,) = environment.glob("lib/python*/site-packages")
    before = files(packages)
    yield User(run, work, packages)
    assert files(packages) == before


class User:
    """A working directory, and how to run the environment's programs in it."""

    def __init__(self, run, work, packages):
        self.run = run
        self.work = work
        self.packages = packages

    def python(self, *lines):
        """Run lines of Python; return what they print, by lines."""
        status, out, err = self.run("python", "-c", "\n".join(lines))
        assert status == 0, err
        return out.splitlines()


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "seven.wav"
    soundfile.write(path, synthesize("seven", "en-us+m3"), SPEECH_RATE_HZ, "FLOAT")
    return path


def test_the_wheel_has_the_package_its_types_and_all_pretrained_networks(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = [name for name in opened.namelist() if ".dist-info/" not in name]
    networks = {path.name for path in (ROOT / "results" / "networks").glob("*.npz")}
    folder = "shd_helpers/pretrained_networks/"
    assert {Path(name).name for name in names if name.startswith(folder)} == networks != set()
    sources = {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if not name.startswith(folder)} == sources
    assert "shd_helpers/py.typed" in sources
    assert wheel.name.split("-")[1] == shd_helpers.__version__


def test_a_pretrained_network_answers_as_in_the_checkout(user, seven):
    expected = Listener().hear(seven)
    code = [
        "import json, sys",
        "from shd_helpers.hear import Listener",
        f"answer = Listener().hear({str(seven)!r})",
        "from shd_helpers.study.trained_network import load_pretrained",
        "print(json.dumps(answer), str(load_pretrained('small').file))",
    ]
    (line,) = user.python(*code)
    answer, _, file = line.partition("] ")
    assert json.loads(answer + "]") == list(expected)
    assert file == str(user.packages / "shd_helpers" / "pretrained_networks" / "small.npz")
    assert list(user.work.iterdir()) == []  # what it keeps is in the user's folder of caches


def test_the_command_lists_its_commands_and_hears(user, seven):
    status, out, _ = user.run("shd", "--help")
    assert status == 0 and "{study,sweep,hear}" in out
    assert user.run("shd", "--version")[1] == f"shd {shd_helpers.__version__}\n"
    status, out, _ = user.run("shd", "hear", seven)
    assert status == 0 and out.startswith(f"{seven}: {Listener().hear(seven).digit}, ")


def test_a_sweep_of_one_s_own_runs_and_leaves_its_table_and_runs_in_the_working_directory(user):
    """Though its notebook's kernel has another working directory."""
    folder = user.work / "mine"
    folder.mkdir()
    home = Home(folder)
    notebook = nbformat.read(home.notebook, 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('os.environ["SHD_STAND_IN"]', repr(str(folder)))
    nbformat.write(notebook, home.notebook)
    status, out, err = user.run("shd", "sweep", home.yaml.relative_to(user.work), "--shard", "1/2")
    assert status == 0, out + err
    assert out.splitlines()[-1].endswith("2 executed, 0 failed. Table: trial.csv")
    table = pd.read_csv(user.work / "trial.csv")
    assert {"x", "seed"} <= {*table} and table.status.tolist() == ["done"] * 2
    for name in ("x=1.0,seed=0", "x=2.0,seed=0"):
        assert (user.work / "runs" / "sweeps" / "trial" / name / "run.json").is_file()
