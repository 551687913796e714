"""Encode the Heidelberg Digits as the recordings of `commands` are encoded: found and cut out.

``python -m evidence.cut_heidelberg FOLDER`` reads the recordings from a folder and writes
the data set ``data/hd_cut``.
"""

import argparse
from pathlib import Path

from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import COCHLEA, encoder_folder
from shd_corpus.heidelberg import NAME
from shd_corpus.recording_list import Recording
from shd_corpus.recordings import RecordingOptions, encode_all, write_pair, write_refused
from shd_helpers.command import run as run_command
from shd_helpers.paths import data_dir

OFFICIAL_TEST_SPEAKERS = {"04", "05"}


def recording(path: Path) -> Recording:
    """Return a recording with the class and the speaker that its name says."""
    language, speaker, digit = NAME.match(path.name).groups()  # type: ignore[union-attr]
    return Recording(path, LANGUAGES[language][int(digit)], speaker)


def main() -> None:
    """Encode the recordings of a folder, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default=COCHLEA)
    given = parser.parse_args()
    folder = given.folder
    recordings = [recording(path) for path in sorted(folder.glob("lang-*.flac"))]
    out = encoder_folder(data_dir() / "hd_cut", given.encoder)
    options = RecordingOptions(cut=True, lenient=True, encoder=given.encoder)
    encoding = encode_all(
        folder, recordings, out / "unfinished", "encoding hd_cut", options=options
    )
    speakers = sorted({each.speaker for each in recordings})
    pair = (out / "hd_cut_train.h5", out / "hd_cut_test.h5")
    write_pair(pair, encoding, OFFICIAL_TEST_SPEAKERS, speakers, LANGUAGES["both"])
    write_refused(out / "hd_cut_refused.csv", encoding.refused)


if __name__ == "__main__":
    run_command(main)
