"""The command that simulates and places a circuit (``make rtl``)."""

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
