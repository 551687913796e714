"""The tests; of the committed tables, too."""

from shd_helpers.paths import ROOT

RESULTS = ROOT / "results"
