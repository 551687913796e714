"""The tests; of the committed tables, too."""

from shd_helpers.paths import ROOT

RESULTS = ROOT / "results"
FROZEN_SWEEPS = ROOT / "evidence" / "sweeps"  # of tables that no command writes again
# The files of all sweeps of the study, by their names.
SWEEP_FILES = {
    path.stem: path for folder in (ROOT / "sweeps", FROZEN_SWEEPS) for path in folder.glob("*.yaml")
}
