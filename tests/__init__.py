"""The tests; of the committed tables, too."""

from shd_helpers.paths import ROOT

RESULTS = ROOT / "results"
# The files of the study's sweeps, by their names.
SWEEP_FILES = {path.stem: path for path in (ROOT / "sweeps").glob("*.yaml")}
