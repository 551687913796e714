"""Looks at test utterances that left no table, listed by hand with their sources.

`scripts.looks` adds them to the looks that it counts in the committed tables.
"""

from dataclasses import dataclass

LEFT_OUT = "held-out speakers"
OFFICIAL = "official test file"
RUN = "run of a sweep"
VALIDATED = "run that validated"
AGAIN = "network scored again"
READ = "reading without a table"


@dataclass(frozen=True, kw_only=True)
class Look:
    """One line of the count."""

    name: str
    kind: str = READ
    judged_by: str  # LEFT_OUT or OFFICIAL
    configurations: int
    looks: int
    planned: str = ""  # when the sweep's file entered the history, empty if unknown
    first_results: str  # when its table did
    source: str  # where the looks can be found


_REVIEW = "a review of commit d64e901, 2026-11-29"
NO_TABLE = (
    Look(
        name="networks scored on speakers 4 and 5 before the candidates were listed, one seed each",
        judged_by=LEFT_OUT,
        configurations=5,
        looks=5,
        first_results="2026-11-28",
        source="none; reported with commit 343e159",
    ),
    Look(
        name="networks scored on speakers 2 and 11 before the candidates were "
        "listed, one seed each",
        judged_by=LEFT_OUT,
        configurations=4,
        looks=4,
        first_results="2026-11-28",
        source="none; reported with commit 343e159",
    ),
    Look(
        name="eight properties of a voice against its accuracy",
        judged_by=LEFT_OUT,
        configurations=8,
        looks=8,
        first_results="2026-11-28",
        source="docs/tried.md, networks (bd184f3)",
    ),
    Look(
        name="a limit for the confidence: small, then reference",
        judged_by=LEFT_OUT,
        configurations=2,
        looks=72,
        first_results="2026-11-28",
        source="scripts/confidence_thresholds.py at 3c71096; 36 runs each",
    ),
    Look(
        name="official spikes and ours, one network",
        judged_by=OFFICIAL,
        configurations=2,
        looks=2,
        first_results="2026-11-25",
        source="docs/cochlea.md",
    ),
    Look(
        name="the study's network with seed 0 on another processor",
        judged_by=OFFICIAL,
        configurations=1,
        looks=1,
        first_results="2026-11-29",
        source="sweeps/README.md",
    ),
    Look(
        name="ensembles of existing predictions: reference; adapting 256; both; no "
        "spikes; all three",
        judged_by=LEFT_OUT,
        configurations=5,
        looks=5,
        first_results="2026-11-29",
        source=_REVIEW,
    ),
    Look(
        name="majorities of five seeds: reference 89.7 %, adapting network 94.3 % "
        "(its mean: 92.6 %)",
        judged_by=OFFICIAL,
        configurations=2,
        looks=2,
        first_results="2026-11-29",
        source=_REVIEW,
    ),
    Look(
        name="errors by class, language and speaker: reference, adapting network",
        judged_by=OFFICIAL,
        configurations=2,
        looks=2,
        first_results="2026-11-29",
        source=_REVIEW,
    ),
    Look(
        name="ensembles of three and of five seeds of the selected network",
        judged_by=OFFICIAL,
        configurations=2,
        looks=2,
        first_results="2026-11-30 18:19",
        source="results/official.csv",
    ),
    Look(
        name="the selected ensemble on twelve speakers, and what nine folds select for two of them",
        judged_by=LEFT_OUT,
        configurations=2,
        looks=14,
        first_results="2026-11-30 20:13",
        source="results/judged_winner.csv, results/nested.csv",
    ),
    Look(
        name="augmented recordings of the held-out speakers of the ten folds, for the threshold",
        judged_by=LEFT_OUT,
        configurations=5,
        looks=90,
        first_results="2026-11-30 11:07",
        source="results/selection_hd_augmented_scores.h5, and two files like it",
    ),
    Look(
        name="the small circuit's loss over all twelve speakers",
        judged_by=LEFT_OUT,
        configurations=1,
        looks=1,
        first_results="2026-11-29",
        source=_REVIEW,
    ),
)
