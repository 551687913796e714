"""The data set `spoken`: digits from eSpeak NG through the cochlea, in SHD layout, made offline."""

import io
import json
from pathlib import Path

import numpy as np
import soundfile

from shd_helpers.files import atomic
from shd_helpers.source.cochlea import encode
from shd_helpers.source.shd_file import LANGUAGES, write_shd
from shd_helpers.source.speech import SPEAKERS, SPEECH_RATE_HZ, speak
from shd_helpers.source.threads import on_all_cores
from shd_helpers.versions import SPIKES

TEST_SPEAKERS = (4, 5)  # only in the test file, as in SHD


def make_spoken(
    folder: str | Path,
    seed: int = 0,
    language: str = "english",
    *,
    train_takes: int = 10,
    seen_test_takes: int = 2,
    unseen_test_takes: int = 8,
    progress: bool = True,
) -> tuple[Path, Path]:
    """Make the data set ``spoken`` in SHD layout, unless the folder holds it already.

    Ten speakers are in both files, two (``TEST_SPEAKERS``) in the test file only. Each utterance
    follows from the seed, its word, speaker and take alone.

    Parameters
    ----------
    folder : str or Path
        Where ``spoken_train.h5`` and ``spoken_test.h5`` go; ``spoken.json``, written last, says
        how they were made.
    seed : int
        Seed of the takes and of the nerve fibres.
    language : str
        ``"english"``, ``"german"`` or ``"both"``. The class names are SHD's twenty in any case.
    train_takes, seen_test_takes, unseen_test_takes : int
        Takes per word and speaker.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    tuple of Path
        Training file and test file.

    Raises
    ------
    ValueError
        If the language is unknown.
    SpeechError
        If eSpeak NG fails.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r}: unknown; take one of {', '.join(LANGUAGES)}.")
    folder = Path(folder)
    made = {"spikes": SPIKES, "seed": seed, "language": language, "train_takes": train_takes}
    made |= {"seen_test_takes": seen_test_takes, "unseen_test_takes": unseen_test_takes}
    paths = folder / "spoken_train.h5", folder / "spoken_test.h5"
    receipt = folder / "spoken.json"
    if receipt.is_file() and json.loads(receipt.read_text()) == made:
        if all(path.is_file() for path in paths):
            return paths
    receipt.unlink(missing_ok=True)

    seen = [s for s in range(len(SPEAKERS)) if s not in TEST_SPEAKERS]
    train = _takes(language, seen, range(train_takes))
    test = _takes(language, seen, range(train_takes, train_takes + seen_test_takes))
    test += _takes(language, TEST_SPEAKERS, range(unseen_test_takes))
    genders = [gender for _, _, gender in SPEAKERS]
    for path, takes in zip(paths, (train, test), strict=True):
        spikes = on_all_cores(
            lambda take: _hear(take[0], take[1], take[2], seed), takes, path.stem, progress
        )
        times, units = zip(*spikes, strict=True)
        labels, speakers, _ = zip(*takes, strict=True)
        write_shd(path, times, units, labels, speakers, gender=genders)
    with atomic(receipt) as part:
        part.write_text(json.dumps(made, indent=1) + "\n")
    return paths


def _takes(language, speakers, takes) -> list[tuple[int, int, int]]:
    labels = [LANGUAGES["both"].index(word) for word in LANGUAGES[language]]
    return [(label, speaker, take) for take in takes for speaker in speakers for label in labels]


def wav(word: str, speaker: int, take: int, seed: int = 0) -> bytes:
    """Return an utterance of the training file as a WAV file: the sound its spikes were made of.

    Parameters
    ----------
    word : str
        One of ``shd_file.LANGUAGES["both"]``.
    speaker : int
        Index into ``speech.SPEAKERS``.
    take : int
        From 1, as in the order of the file.
    seed : int
        The data set's.
    """
    wave, _ = _say(LANGUAGES["both"].index(word), speaker, take - 1, seed)
    with io.BytesIO() as file:
        soundfile.write(file, wave / np.abs(wave).max(), SPEECH_RATE_HZ, format="WAV")
        return file.getvalue()


def _say(label, speaker, take, seed) -> tuple[np.ndarray, np.random.Generator]:
    generator = np.random.default_rng([seed, label, speaker, take])
    return speak(LANGUAGES["both"][label], speaker, generator), generator


def _hear(label, speaker, take, seed) -> tuple[np.ndarray, np.ndarray]:
    wave, generator = _say(label, speaker, take, seed)
    times, units = encode(wave, SPEECH_RATE_HZ, seed=int(generator.integers(2**63)))
    return times.astype(np.float16), units.astype(np.uint16)  # as in the file
