"""Count the digits that networks recognize in noise, at other levels, and through a telephone.

``python -m evidence.how_robust FOLDER`` reads recordings of `commands` from a folder and does what
``plans/how_robust.yaml`` says. It writes ``how_robust.csv`` with a row for each network and
condition, and the answers in ``how_robust.h5``.
"""

import argparse
from functools import partial
from pathlib import Path

import h5py
import joblib
import numpy as np
import pandas as pd
import yaml  # type: ignore[import-untyped]
from scipy.signal import butter, sosfilt
from tqdm import tqdm

from evidence.draws import seed_of
from shd_corpus.class_names import ENGLISH
from shd_corpus.encoders import encode
from shd_corpus.microphone import LONGEST_FILE_S, RecordedUtterance, cut_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import RATE_HZ, read_sound
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.hear import Listener
from shd_helpers.paths import results_dir
from shd_judge import interval

PLAN = yaml.safe_load((Path(__file__).with_suffix(".yaml")).read_text(encoding="utf-8"))
NETWORKS = ("listener", "small_listener", "everybody", "small")
AS_IT_IS = "as it is"
FULL_SCALE = 2**15
Rng = np.random.Generator


def conditions() -> dict[str, dict[str, object]]:
    """Return the arguments of `changed` by the names of the conditions."""
    found: dict[str, dict[str, object]] = {AS_IT_IS: {}}
    found |= {f"{level} dB of full scale": {"level_db": level} for level in PLAN["levels_db"]}
    for kind in PLAN["noises"]:
        for below_db in PLAN["below_db"]:
            found[f"{kind} noise, {below_db} dB below"] = {"kind": kind, "below_db": below_db}
    return found | {"telephone": {"is_telephone": True}}


def loudest_power(wave: np.ndarray) -> float:
    """Return the mean power of the loudest 0.2 s."""
    n = min(len(wave), RATE_HZ // 5)
    return float(np.convolve(wave**2, np.full(n, 1 / n), "valid").max())


def noise(kind: str, n: int, rng: Rng, others: list[np.ndarray]) -> np.ndarray:
    """Return (n,) noise of a kind with the standard deviation 1."""
    if kind == "babble":
        voices = [others[i] for i in rng.integers(0, len(others), rng.integers(3, 7))]
        wave = np.sum([np.resize(np.roll(v, rng.integers(len(v))), n) / v.std() for v in voices], 0)
    else:
        spectrum = np.fft.rfft(rng.standard_normal(n))
        if kind == "pink":
            spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        wave = np.fft.irfft(spectrum, n)
    return wave / wave.std()


def changed(
    wave: np.ndarray,
    rng: Rng,
    others: list[np.ndarray],
    *,
    level_db: float | None = None,
    kind: str = "",
    below_db: float = 0.0,
    is_telephone: bool = False,
) -> np.ndarray:
    """Return the cut of an utterance (samples,) in a condition."""
    if is_telephone:
        return sosfilt(butter(4, PLAN["band_hz"], "band", fs=RATE_HZ, output="sos"), wave)
    if kind:
        sd = np.sqrt(loudest_power(wave)) * 10 ** (-below_db / 20)
        return wave + sd * noise(kind, len(wave), rng, others)
    if level_db is not None:
        wave = 10 ** (level_db / 20) * wave / np.abs(wave).max()
        return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE
    return wave


def chosen(role: str, rng: Rng, most: int) -> list[str]:
    """Return up to a number of recordings, drawn at random, of each person of a role."""
    names = pd.Series([name for name in read_manifest() if role_of(person_of(name)) == role])
    shuffled = names.iloc[rng.permutation(len(names))]
    return sorted(shuffled.groupby(shuffled.map(person_of)).head(most))


def cut(path: Path) -> np.ndarray | None:
    """Return the cut of a recording; None if no utterance is found."""
    try:
        return cut_utterance(*read_sound(path, LONGEST_FILE_S), seed_of(path, 0))[0]
    except RecordingError:
        return None


def answers_to(wave: np.ndarray, seed: int, others: list[np.ndarray]) -> np.ndarray:
    """Return the answer of each network in each condition, (networks, conditions)."""
    result = np.zeros((len(NETWORKS), len(conditions())), np.uint8)
    listeners = [Listener(name) for name in NETWORKS]
    for k, arguments in enumerate(conditions().values()):
        rng = np.random.default_rng([PLAN["seed"], seed, k])
        sound = changed(wave, rng, others, **arguments)  # type: ignore[arg-type]
        for encoder in {each.encoder for each in listeners}:
            found = RecordedUtterance(sound, RATE_HZ, *encode(sound, RATE_HZ, seed, encoder), "")
            for i, listener in enumerate(listeners):
                if listener.encoder == encoder:
                    result[i, k] = ENGLISH.index(listener.answer(found).digit)
    return result


def measure(folder: Path) -> None:
    """Freeze the answers of all networks in all conditions."""
    rng = np.random.default_rng(PLAN["seed"])
    names = chosen("test", rng, PLAN["utterances_of_each"])
    others = [cut(folder / name) for name in chosen("training", rng, 1)[:200]]
    cuts = {name: cut(folder / name) for name in names}
    names = [name for name in names if cuts[name] is not None]
    answer = partial(answers_to, others=[each for each in others if each is not None])
    calls = [joblib.delayed(answer)(cuts[name], seed) for seed, name in enumerate(names)]
    found = joblib.Parallel(-1, batch_size=4, return_as="generator")(calls)
    people = sorted({person_of(name) for name in names})
    with h5py.File(results_dir() / "how_robust.h5", "w") as file:
        answers = np.stack(list(tqdm(found, "listening", total=len(calls))))
        file.create_dataset("answers", data=answers, compression="gzip")
        file["labels"] = np.array(
            [ENGLISH.index(name.partition("/")[0]) for name in names], np.uint8
        )
        file["speakers"] = np.array([people.index(person_of(name)) for name in names], np.uint8)


def table() -> pd.DataFrame:
    """Return a row for each network and condition."""
    rows = []
    with h5py.File(results_dir() / "how_robust.h5") as file:
        right = file["answers"][:] == file["labels"][:][:, None, None]
        people = file["speakers"][:]
    for i, network in enumerate(NETWORKS):
        by_person = pd.DataFrame(right[:, i], columns=list(conditions())).groupby(people).mean()
        for condition, its in by_person.items():
            mean, half = interval(its.to_frame().to_numpy())
            lost = by_person[AS_IT_IS] - its
            of_lost = [float(each) for each in interval(lost.to_frame().to_numpy())]
            row: dict[str, object] = {"network": network, "encoder": Listener(network).encoder}
            row |= {"condition": condition, "people": len(its), "utterances": len(people)}
            row |= {"accuracy": float(mean), "ci95": float(half)}
            rows.append(row | dict(zip(("lost", "lost_ci95"), of_lost, strict=True)))
    return pd.DataFrame(rows)


def main() -> None:
    """Freeze answers and write the table, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.how_robust", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the folders zero to nine")
    given = parser.parse_args()
    measure(given.folder)
    table().to_csv(results_dir() / "how_robust.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
