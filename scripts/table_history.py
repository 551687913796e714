"""Read the committed tables of a repository in every version, from its git history."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from shd_helpers.checks import quoted
from shd_helpers.paths import ROOT

# Sweeps that were renamed: today's names by the first ones.
RENAMED_SWEEPS = {"original_left_out": "original_leave_one_speaker_out"}
# Likewise columns, and values as regular expressions.
_RENAMED_COLUMNS = {"members": "ensemble_size", "changed": "augmented_copies"}
_RENAMED_VALUES = {
    "protocol": {"^leave_one_out$": "leave_one_speaker_out"},
    "circuit": {" tuned$": " QAT"},
}


class HistoryError(ValueError):
    """The history of a repository that can't be read; the message names the remedy."""


class History:
    """The committed tables of a repository, in every version.

    Parameters
    ----------
    root : Path
        The repository.
    commit : str
        Its history up to here is read.

    Raises
    ------
    HistoryError
        If there is no such commit, or the folder is no repository of git.
    """

    def __init__(self, root: Path = ROOT, commit: str = "HEAD") -> None:
        self._root = root
        self._commit = commit
        try:
            self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
        except subprocess.CalledProcessError as error:
            raise HistoryError(
                f"{root}: git finds no commit {quoted(commit)}. Name one that `git log` lists."
            ) from error

    def git(self, *arguments: str) -> bytes:
        """Run git in the repository.

        Parameters
        ----------
        *arguments : str
            Git's arguments.

        Returns
        -------
        bytes
            What it prints.
        """
        command = ["git", "-C", str(self._root), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def is_complete(self) -> bool:
        """Check whether the clone has all commits.

        Returns
        -------
        bool
            False for a shallow clone.
        """
        return self.git("rev-parse", "--is-shallow-repository").strip() == b"false"

    def name(self) -> str:
        """Return the name of the last commit that is read.

        Returns
        -------
        str
            Seven hexadecimal digits.
        """
        return self.git("rev-parse", "--short=7", self._commit).decode().strip()

    def changes(self, pattern: str) -> Iterator[tuple[str, str, str]]:
        """Yield each version of each file of a pattern, oldest first.

        Parameters
        ----------
        pattern : str
            Such as ``"results/*_hd.csv"``.

        Yields
        ------
        commit, time, path : str
            The commit that wrote the version, when, and the file.
        """
        log = self.git(
            "log",
            "--reverse",
            "--no-renames",
            "--name-status",
            "--format=commit %h %ad",
            "--date=format:%Y-%m-%d %H:%M",
            self._commit,
            "--",
            pattern,
        )
        commit = ""
        time = ""
        for line in log.decode().splitlines():
            if line.startswith("commit "):
                _, commit, time = line.split(" ", 2)
            elif line and not line.startswith("D"):  # D: the commit deleted the file
                yield commit, time, line.split("\t")[1]

    def read(self, commit: str, path: str) -> pd.DataFrame:
        """Read a table as it was at a commit.

        Parameters
        ----------
        commit : str
            The commit.
        path : str
            The file.

        Returns
        -------
        DataFrame
            The table, its columns under today's names.
        """
        file = io.BytesIO(self.git("show", f"{commit}:{path}"))
        if path.endswith(".gz"):  # predictions, of which the German word "null" is a label
            table = pd.read_csv(file, compression="gzip", keep_default_na=False)
        else:
            table = pd.read_csv(file, compression=None, low_memory=False)
        table = table.rename(columns=_RENAMED_COLUMNS)
        return table.replace(_RENAMED_VALUES, regex=True)

    def first(self, path: str) -> str:
        """Return when a file entered the history.

        Parameters
        ----------
        path : str
            The file. It may have entered under the first name of its sweep. If it was removed and
            another file came under its name, such as *screening*, the other one counts.

        Returns
        -------
        str
            The time, empty if it never did.
        """
        paths = [path]
        for first, today in RENAMED_SWEEPS.items():
            paths.append(path.replace(today, first))
        times = [time for name in paths if (time := self._last_addition(name))]
        return min(times, default="")

    def _last_addition(self, path: str) -> str:
        """Return when a commit last added a file that wasn't there before; empty for never."""
        log = self.git(
            "log",
            "--no-renames",
            "--diff-filter=A",
            "--format=%ad",
            "--date=format:%Y-%m-%d %H:%M",
            self._commit,
            "--",
            path,
        )
        return log.decode().partition("\n")[0]


def sweep_of(path: str) -> str:
    """Return today's name of a sweep.

    Parameters
    ----------
    path : str
        The file of its table.

    Returns
    -------
    str
        The sweep's name, without its data set's.
    """
    name = Path(path).stem.removesuffix("_hd")
    return RENAMED_SWEEPS.get(name, name)
