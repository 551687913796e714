"""Build each package's wheel, and try it in a fresh environment: ``make wheels PYTHON=python3.12``.

pip installs all libraries anew from the package index, which takes minutes and gigabytes. Only what
is committed counts. The packages' tests, and the lines of their READMEs, run in a folder that has
no code of the packages. The wheels and source distributions stay in ``build/wheels``.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "build" / "wheels"
ALONE = {"corpus": "shd_corpus", "engine": "snntorch_compile", "judge": "shd_judge"}
OF_THE_STUDY = ["shd_circuit", "shd_corpus", "shd_course", "shd_engine", "shd_helpers", "shd_judge"]
FOR_TESTS = ["h5py", "hypothesis", "lauscher", "pytest"]
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command, folder):
    """Run a command without the checkout's packages; end the process if it fails."""
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=folder, env=CLEAN, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nThis failed: {shlex.join(words)}")
    return done.stdout


def new_environment(folder, *requirements):
    """Return the Python of a new environment with these packages and what they need."""
    run(sys.executable, "-m", "venv", folder, folder=folder.parent)
    python = folder / "bin" / "python"
    install(python, *requirements)
    return python


def install(python, *requirements):
    """Install packages and what they need."""
    run(python, "-m", "pip", "install", "-q", *requirements, folder=python.parent)


def build(checkout, folder):
    """Build the source distributions, and from each its wheel."""
    python = new_environment(folder, "build", "setuptools>=77")
    shutil.rmtree(WHEELS, ignore_errors=True)
    for project in (checkout, *(checkout / "packages" / name for name in ALONE)):
        command = [python, "-m", "build", "--no-isolation", "--outdir", WHEELS]
        run(*command, project, folder=folder)


def wheel_of(distribution):
    """Return the wheel that was built of a distribution."""
    (wheel,) = WHEELS.glob(f"{distribution}-*.whl")
    return wheel


def try_alone(name, checkout, folder):
    """Run the tests of a package in a copy that has its README, but not its code."""
    copy = folder / "packages" / name
    code = shutil.ignore_patterns("shd_*", "build", "*.egg-info")
    shutil.copytree(checkout / "packages" / name, copy, ignore=code)
    shutil.copytree(checkout / "docs", folder / "docs")
    shutil.copy(checkout / "pyproject.toml", folder)
    python = new_environment(folder / "environment", wheel_of(ALONE[name]), *FOR_TESTS)
    command = [python, "-m", "pytest", "-q", "-o", "addopts=", "-m", "not slow and not full"]
    return run(*command, f"{name}_tests", folder=copy).splitlines()[-1]


def try_study(checkout, folder):
    """Import all packages of the study, and try its command and the lines of two READMEs."""
    wheel = wheel_of("shd_downsizing_study")
    python = new_environment(folder / "environment", wheel)
    run(python, "-c", f"import {', '.join(OF_THE_STUDY)}", folder=folder)
    version = run(python.with_name("shd"), "--version", folder=folder).strip()
    for read in ("results/circuit_study", "shd_helpers/digits"):
        shutil.copytree(checkout / read, folder / read)
    check_readme(python, checkout / "applications" / "circuit" / "README.md", folder)
    install(python, f"{wheel}[study]")
    check_readme(python, checkout / "applications" / "course" / "README.md", folder)
    return f"{version}; the lines of two READMEs run"


def run_first_lines(python, page, folder):
    """Return what the first lines of Python in a README print."""
    code = re.search(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)[1]
    (folder / "lines.py").write_text(code, encoding="utf-8")
    return run(python, "lines.py", folder=folder)


def check_readme(python, page, folder):
    """Check that a README says what its first lines print."""
    printed = run_first_lines(python, page, folder)
    if f"```\n{printed}```" not in page.read_text(encoding="utf-8"):
        sys.exit(f"{page}: its lines print something else:\n{printed}")


def main():
    """Print a line for each wheel."""
    with tempfile.TemporaryDirectory() as name:
        checkout = Path(name, "checkout")
        run("git", "clone", "-q", ROOT, checkout, folder=ROOT)
        build(checkout, Path(name, "builder"))
        for wheel in ("study", *ALONE):
            folder = Path(name, wheel)
            folder.mkdir()
            if wheel == "study":
                result = try_study(checkout, folder)
            else:
                result = try_alone(wheel, checkout, folder)
            print(f"Python {platform.python_version()}, {wheel}: {result}", flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
