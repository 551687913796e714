"""The command that simulates and places a circuit (``make rtl``)."""

import pandas as pd
import pytest
from circuits import exported

from shd_circuit.folder import ExportError
from shd_circuit.rtl import __main__ as command

OPTIONS = [
    "--language english",
    "--membranes 2",
    "--circuit 8-8-16",
    "--utterances 5",
    "--dataset x",
]


def stop(message):
    """Return a function that ends the command with a message."""

    def stopped(*_):
        raise ExportError(message)

    return stopped


@pytest.mark.parametrize("option", ["", *OPTIONS])
def test_an_argument_that_changes_the_export_is_not_ignored(option, tmp_path, monkeypatch):
    """An export of other arguments is there already."""
    exported(tmp_path / "circuit", "study", 1)
    monkeypatch.setattr(command, "export_from", stop("exported anew"))
    monkeypatch.setattr(command, "check_core", stop("taken as it is"))
    out = ["--out", str(tmp_path / "circuit")]
    monkeypatch.setattr("sys.argv", ["rtl", "some_run", *out, *option.split()])
    with pytest.raises(SystemExit, match="exported anew" if option else "taken as it is"):
        command.main()


ROWS = [("core", "lanes 1", "cycles", 14629480.5), ("core", "lanes 1", "MHz", 26.8)]


def test_a_table_keeps_its_digits_and_the_rows_of_others(tmp_path):
    table = pd.DataFrame(ROWS, columns=command.COLUMNS)
    path = tmp_path / "rtl.csv"
    for folder in ("a", "b", "a"):
        command.write_table(path, folder, table)
    lines = path.read_text().splitlines()
    assert lines[0] == "folder,device,build,quantity,value"
    assert [line[0] for line in lines[1:]] == ["b", "b", "a", "a"]
    assert lines[1] == "b,core,lanes 1,cycles,14629480.5" and lines[2].endswith(",26.8")
    assert [*table.columns] == command.COLUMNS  # the caller's is as it was
