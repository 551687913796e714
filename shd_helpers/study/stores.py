"""Files beside a sweep's table that keep something of each of its runs, by the runs' hashes.

`study.predictions` has the store of what runs predicted, and `study.class_scores` that of their
class scores.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from shd_corpus.files import atomic, reading
from shd_helpers.study.run_folder import REMEDY
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.tables import TableError, locked, read_table, table_path

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Store(Generic[Kept]):
    """What is kept of each run, and how its file is read and written."""

    ending: str  # of the file's name, after that of the table
    files: tuple[str, ...]  # of a run folder, from which it is made
    of_folder: Callable[[Path], Kept]
    read: Callable[[Path], dict[str, Kept]]  # by the runs' hashes; empty if there is no file
    as_bytes: Callable[[Mapping[str, Kept]], bytes | memoryview]

    def path(self, table: Path) -> Path:
        """Return the file beside a table."""
        return table.with_name(f"{table.stem}{self.ending}")

    def add(self, path: Path, runs: Mapping[str, Kept]) -> None:
        """Add runs to a file; those of other hashes stay. The same runs make the same bytes."""
        with locked(path):
            content = self.as_bytes(self.read(path) | dict(runs))
            with atomic(path) as unfinished:
                unfinished.write_bytes(content)

    def save(self, path: Path, folders: Mapping[str, Path]) -> None:
        """Add what is in run folders, given by the runs' hashes."""
        runs = {}
        for name, folder in folders.items():
            with _reading_run(folder):
                runs[name] = self.of_folder(folder)
        if runs:
            self.add(path, runs)

    def collect(self, name: str | Path) -> dict[str, Kept]:
        """Return what is kept of every run of a table (see `tables.read_table`), in its order.

        TableError, if a run is missing.
        """
        wanted = read_table(name)["hash"]
        path = self.path(table_path(name))
        there = self.read(path)
        n_missing = len({*wanted} - {*there})
        if n_missing:
            raise TableError(
                f"{path}: {n_missing} runs are missing. Run the sweep again: it executes only "
                "these."
            )
        return {each: there[each] for each in wanted}


@contextmanager
def _reading_run(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged run folder raises into a TableError that names a file of it."""
    remedy = f"Remove {folder} and repeat the command, which then executes this run again."
    with reading(folder / "predictions.csv", TableError, remedy):
        try:
            yield
        except RunError as error:  # it names the file, but another remedy
            message = str(error).partition(f" {REMEDY}")[0]
            raise TableError(f"{message} {remedy}") from error
