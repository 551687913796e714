"""Task 4: my own wav files of yes, no, stop; folders, then a CSV file, then broken sets."""

import csv
import shutil
from pathlib import Path

from make_wavs import make
from net import spiking

from shd_corpus import encode_recordings
from shd_helpers import judge, load_events

# 1. folders, one for each class
make("my_wavs")
events = load_events(encode_recordings("my_wavs"))
print(len(events), "utterances,", events.n_units, "units x", events.n_steps, "steps")
from_folders = judge(spiking, events, epochs=15)
print(from_folders)
print(from_folders.accuracies)
table = from_folders.table
print(table[table.label != table.answer][["speaker", "label", "answer", "score_yes"]])

# 2. a CSV file; names as I'd really name them: "Lena 1.wav"
make("natural", lambda speaker, take: f"{speaker} {take + 1}.wav")
try:
    encode_recordings("natural")
except ValueError as error:
    print("natural names:", error)
with Path("my_list.csv").open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["file", "label", "speaker"])
    for path in sorted(Path("natural").glob("*/*.wav")):
        rows.writerow([path, path.parent.name, path.stem.split(" ")[0]])
listed = load_events(encode_recordings("my_list.csv", test_speakers=["Zoë", "Lena"]))
from_list = judge(spiking, listed, epochs=15)
print(from_list)
try:
    print(from_folders.compare(from_list))
except ValueError as error:
    print("compare:", error)


# 3. broken sets
def empty(folder):
    (folder / "yes/Tim_2.wav").write_bytes(b"")


def lacks_a_word(folder):
    for path in (folder / "stop").glob("Tim*"):
        path.unlink()


def one_file(folder):
    for path in (folder / "stop").glob("*"):
        if path.name != "Lena_1.wav":
            path.unlink()


def all_three(folder):
    empty(folder)
    lacks_a_word(folder)
    one_file(folder)


for damage in (empty, lacks_a_word, one_file, all_three):
    shutil.rmtree("broken", ignore_errors=True)
    shutil.copytree("my_wavs", "broken")
    damage(Path("broken"))
    try:
        encode_recordings("broken")
    except Exception as error:
        print(f"{damage.__name__}: {type(error).__name__}: {error}")
shutil.rmtree("broken")
