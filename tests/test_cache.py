"""Of many processes that want the same downsized input, one makes it."""

import subprocess
import sys

from shd_helpers.events.toy import write_toy

# eight processes at once, each of which would downsize for a while and say so
EIGHT = """
import os, sys, time
from pathlib import Path
from shd_helpers.events import downsample

data, marks = map(Path, sys.argv[1:])
downsize = downsample.downsize

def watched(*arguments):
    with marks.open("a") as file:
        file.write("+")
    time.sleep(0.3)
    return downsize(*arguments)

downsample.downsize = watched
files = data / "toy_train.h5", data / "toy_test.h5"
children = []
for _ in range(8):
    if not (child := os.fork()):
        events = downsample.load_file(files, 0, downsample.Downsampling())
        os._exit(0 if len(events) == 120 else 1)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_eight_processes_downsize_once(tmp_path, data_dir):
    write_toy(tmp_path / "toy", seed=0)
    marks = tmp_path / "marks"
    subprocess.run([sys.executable, "-c", EIGHT, tmp_path / "toy", marks], check=True)
    assert marks.read_text() == "+"
    assert len(list((data_dir / "cache").glob("*.npz"))) == 1
