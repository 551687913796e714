"""An exported folder alone: every command of its README, elsewhere and under another name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from circuits import exported, needs_gcc, needs_icarus, needs_verilator, needs_yosys

from shd_circuit.rtl.tools import run_yosys

pytestmark = [pytest.mark.slow, needs_gcc, needs_icarus, needs_verilator, needs_yosys]
# what the README calls these, and what pip installs them as
TOOLS = {name: f"yowasp-{name}" for name in ("yosys", "nextpnr-ice40")}
BLOCK = re.compile(r"^```\n(.*?)^```\n(?:\nprints\n\n```\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder under another name, and an environment in which there is no package."""
    home = tmp_path_factory.mktemp("elsewhere")
    exported(home / "export", "small", 3)
    folder = home / "a_circuit"
    (home / "export").rename(folder)
    tools = home / "tools"
    tools.mkdir()
    for name, installed in TOOLS.items():
        (tools / name).symlink_to(Path(sys.executable).with_name(installed))
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    (tools / "python3").symlink_to(python or sys.executable)
    if fusesoc := shutil.which("fusesoc"):
        (tools / "fusesoc").symlink_to(fusesoc)
    runtime = run_yosys(tools, "help")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"CXXRTL": str(runtime), "XDG_CONFIG_HOME": str(home)}
    environment["PATH"] = os.pathsep.join([str(tools), os.environ["PATH"]])
    return folder, environment


def test_every_command_of_the_readme_prints_what_it_says(alone):
    folder, environment = alone
    blocks = BLOCK.findall((folder / "README.md").read_text())
    assert len(blocks) == 7
    for commands, wanted in blocks:
        if "fusesoc" in commands and shutil.which("fusesoc", path=environment["PATH"]) is None:
            continue
        ended = subprocess.run(
            ["sh", "-e"],
            input=commands,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, commands + ended.stdout + ended.stderr
        said = [line for line in ended.stderr.splitlines() if re.match(r"\d+ utterances", line)]
        lines = wanted.splitlines()
        assert sorted(said + ended.stdout.splitlines()) == sorted(lines), commands
