"""Time the compiled engine with its own benchmark, on the study's utterances."""

import engine_benchmark
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.paths import data_dir


def speech() -> str:
    """Return the data set to measure on: `hd` where it has been made, else `digits`."""
    return "hd" if (data_dir() / "hd" / "hd.json").is_file() else "digits"


def rows() -> list[dict]:
    """Measure everything; a few minutes."""
    events = load_pair(obtain(speech()), Downsampling())[0]
    density = len(events.steps) / len(events) / events.n_steps / events.n_units
    lists = engine_benchmark.Utterances(
        events.steps, events.units, events.offsets, events.n_steps, events.n_units, events.labels
    )
    return engine_benchmark.rows(lists, f"{speech()}, density {density:.1%}")
