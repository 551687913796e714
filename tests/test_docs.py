"""Pages that follow from the code: settings and commands."""

import re

from shd_helpers.__main__ import COMMANDS
from shd_helpers.paths import ROOT
from shd_helpers.study.recipe import SETTINGS
from tests import found

COMMANDS_PAGE = (ROOT / "docs" / "tests.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_setting_is_described_once():
    template = (ROOT / "docs" / "templates" / "pages" / "docs" / "settings.md").read_text()
    assert sorted(re.findall(r'setting\("(\w+)"\)', template)) == sorted(SETTINGS)


def test_every_command_is_listed():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M)) - {"help"}
    assert targets == set(re.findall(r"`make ([a-z-]+)", COMMANDS_PAGE)) - {"help"}
    assert set(COMMANDS) == set(re.findall(r"^\| `shd ([a-z]+)", COMMANDS_PAGE, re.M))


def test_every_environment_variable_of_a_user_is_listed():
    modules = found("shd_helpers/**/*.py", "*/*/shd_*/**/*.py")
    sources = [MAKEFILE, *(path.read_text() for path in modules)]
    used = set(re.findall(r"\"(SHD_[A-Z_]+)\"", "\n".join(sources)))
    assert used == set(re.findall(r"`(SHD_[A-Z_]+)`", COMMANDS_PAGE))
