"""The tests; of the committed tables, too."""

from pathlib import Path

from shd_helpers.paths import ROOT


def found(*patterns: str, folder: Path = ROOT) -> list[Path]:
    """Return the files that match some patterns, at least one for each: a loop over none passes."""
    paths = []
    for pattern in patterns:
        matching = [path for path in folder.glob(pattern) if "__pycache__" not in path.parts]
        assert matching, f"{folder} has no {pattern}"
        paths += sorted(matching)
    return paths


RESULTS = ROOT / "results"
# The files of the study's sweeps, by their names.
SWEEP_FILES = {path.stem: path for path in found("sweeps/*.yaml")}
