"""The filter bank in C against that in Python: the same levels, events and utterances."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from corpus_tests.filter_bank_sounds import adversarial, noise, spoken, with_background
from shd_corpus import filter_bank
from shd_corpus.filter_bank import EventStream, FilterBank
from shd_corpus.filter_bank.kernels import ENDS, Steps

SOURCES = Path(filter_bank.__file__).parent
GCC = "gcc -std=c99 -O3 -Wall -Wextra -Werror -pedantic".split()
LIBRARY = """
#include "filter_bank.c"
int run(const int16_t *samples, int n, uint8_t *status, uint8_t *levels, uint8_t *events,
        uint8_t *last) {
    static filter_bank bank;
    int step = 0;
    filter_bank_start(&bank);
    for (int i = 0; i < n; i++) {
        filter_bank_status now = filter_bank_sample(&bank, samples[i]);
        if (now == NO_STEP)
            continue;
        status[step] = now;
        memcpy(levels + step * N_CHANNELS, bank.level, N_CHANNELS);
        memcpy(events + step++ * EVENT_BYTES, filter_bank_events(&bank, 0), EVENT_BYTES);
    }
    for (int age = 0; age < REPLAYED; age++)
        memcpy(last + age * EVENT_BYTES, filter_bank_events(&bank, age), EVENT_BYTES);
    return filter_bank_flush(&bank);
}
int size(void) { return sizeof(filter_bank); }
"""
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="apt install gcc")


def compiled(folder, bank, *options):
    """Return the library of a filter bank."""
    (folder / "filter_bank_tables.h").write_text(bank.c_header())
    (folder / "library.c").write_text(LIBRARY)
    command = [
        *GCC,
        *options,
        "-I",
        ".",
        "-I",
        SOURCES,
        "-shared",
        "-fPIC",
        "library.c",
        "-o",
        "library.so",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(folder / "library.so")


def of_c(library, bank, samples):
    """Return all steps, the events of the last ones, newest first, and what flushing returns."""
    n, n_channels = len(samples) // bank.settings.step_samples, bank.n_channels
    n_replayed = bank.settings.replay_steps + bank.settings.start_steps
    n_bytes = (n_channels + 7) // 8
    shapes = [n, (n, n_channels), (n, n_bytes), (n_replayed, n_bytes)]
    arrays = [np.zeros(shape, np.uint8) for shape in shapes]
    pointers = [each.ctypes.data_as(ctypes.c_void_p) for each in (samples, *arrays)]
    flushed = library.run(pointers[0], len(samples), *pointers[1:])
    status, levels, *packed = arrays
    events, last = (
        np.unpackbits(each, axis=1, bitorder="little")[:, :n_channels] for each in packed
    )
    return Steps(levels, events, status), last, flushed


def check(library, bank, samples, seed):
    """Compare all steps of a sound that Python takes in blocks of random sizes."""
    steps, last, flushed = of_c(library, bank, samples)
    listener = EventStream(bank)
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(samples) + 1, rng.integers(0, 60)))
    blocks = [listener.advance(block) for block in np.split(samples, cuts)]
    for own, parts in zip(steps, zip(*blocks, strict=True), strict=True):
        np.testing.assert_array_equal(own, np.concatenate(parts))
    newest_first = steps.events[::-1][: len(last)]
    np.testing.assert_array_equal(last[: len(newest_first)], newest_first)
    assert (flushed == ENDS) == bool(listener.flush())
    return steps


@pytest.mark.parametrize(("n_channels", "step_ms"), [(77, 3), (30, 10), (17, 3)])
def test_every_step_is_that_of_python(tmp_path, n_channels, step_ms):
    bank = FilterBank(n_channels, step_ms)
    library = compiled(tmp_path, bank, "-fsanitize=undefined", "-fno-sanitize-recover")
    words = with_background(*spoken(3))
    louder = np.concatenate([noise(0.5, 30), noise(2, 2000), noise(0.5, 1)]).astype(np.int16)
    seen = set()
    for seed, samples in enumerate((words, words[:17_000], louder, words[:40])):
        seen |= {*check(library, bank, samples, seed).status}
    assert seen == set(range(5))


@pytest.mark.slow
@pytest.mark.parametrize(("n_channels", "step_ms"), [(77, 3), (16, 10)])
def test_500_digits_and_200_signals_that_drive_registers_to_their_bounds(
    tmp_path, n_channels, step_ms
):
    bank = FilterBank(n_channels, step_ms)
    library = compiled(tmp_path, bank)
    for seed, samples in enumerate(spoken(500)):
        check(library, bank, with_background(samples, level=seed % 50), seed)
    for seed in range(200):
        check(library, bank, adversarial(bank, seed), seed)


@pytest.mark.parametrize("bank", [FilterBank(), FilterBank(48)])
def test_it_leaves_room_for_a_network_in_12_kb_of_memory_and_24_kb_of_constants(tmp_path, bank):
    library = compiled(tmp_path, bank)
    assert library.size() < 2500
    assert 2 * np.size(bank.constants) < 1000
