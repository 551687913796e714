"""Execute notebooks in a kernel; start it again if it dies at its start."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import IO, Any, TypeVar

from shd_helpers.paths import ROOT

Result = TypeVar("Result")

STARTS = 3


def again_if_it_dies(start: Callable[[], Result], has_begun: Sized = ()) -> Result:
    """Return what a function returns that starts a kernel; call it again if the kernel dies.

    A kernel gets ports that were free a moment before it takes them. Where many start at once,
    another process may be faster, and the kernel dies. Before its first cell nothing is lost.

    Parameters
    ----------
    start : callable
        Starts a kernel, and may go on to execute cells.
    has_begun : sized
        Not empty once a cell is executed.

    Raises
    ------
    RuntimeError
        If the kernel dies at `STARTS` starts, or after it has begun.
    """
    for starts_left in reversed(range(STARTS)):
        try:
            return start()
        except RuntimeError:  # "Kernel died before replying to kernel_info", and others
            if has_begun or not starts_left:
                raise
    raise AssertionError("never comes here")


def source_hash() -> str:
    """Return a hash of this package's source, as it is on the disk now."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


class Kernel:
    """A kernel for one notebook after the other.

    It starts with the first, and again where the folder, the environment or this package's source
    is another one, or after a notebook that failed. In between it is cleared: a notebook finds no
    variable of the one before, but what that one imported needn't be imported again.
    """

    def __init__(self) -> None:
        self._manager: Any = None
        self._place: tuple[Path, dict[str, str], str] | None = None
        # What a kernel that is stopped half-way prints itself, tracebacks, would stand on the
        # terminal between the lines of a progress bar and the one clear sentence that a user gets.
        self._log = tempfile.TemporaryFile("w+")

    def execute(
        self, notebook: Path, out: Path, parameters: Mapping[str, object], **options: Any
    ) -> None:
        """Execute a notebook by papermill, in its own folder.

        Parameters
        ----------
        notebook, out : Path
            What is executed, and where the executed notebook goes.
        parameters : mapping
            Values for its parameters cell.
        **options
            Of `papermill.execute_notebook`.

        Raises
        ------
        PapermillExecutionError
            If a cell fails.
        RuntimeError
            As `again_if_it_dies`; a note names the file with what the kernel itself said, not the
            cells. It lies beside `out`, ends with ``.log``, and is there after any failure.
        """
        place = (notebook.parent, dict(os.environ), source_hash())
        if place != self._place:
            self.close()
        self._place = place
        if self._manager is None:  # none writes into the file now
            self._log.seek(0)
            self._log.truncate()
        log = out.with_suffix(".log")
        log.unlink(missing_ok=True)
        has_begun: list[bool] = []
        try:
            again_if_it_dies(
                lambda: self._once(notebook, out, parameters, has_begun, options), has_begun
            )
        except BaseException as error:
            self._log.seek(0)
            log.write_text(self._log.read())
            if isinstance(error, RuntimeError):
                error.add_note(f"What the kernel said last is in {log}")
            raise

    def _once(
        self,
        notebook: Path,
        out: Path,
        parameters: Mapping[str, object],
        has_begun: list[bool],
        options: Mapping[str, Any],
    ) -> None:
        import papermill  # slow to import

        is_used = self._manager is not None
        manager = self._manager = self._manager or _manager(self._log)

        def begin(**_: object) -> Any:
            has_begun.append(True)
            clear = "get_ipython().reset()"  # counts its cells from 1 again, too
            return manager.last_client.execute(clear, silent=True, reply=True) if is_used else None

        try:
            papermill.execute_notebook(
                notebook,
                out,
                parameters,
                kernel_name="python3",
                cwd=notebook.parent,
                km=manager,
                on_notebook_start=begin,
                **options,
            )
        except BaseException:
            self.close()  # who knows what is left in it
            raise
        manager.hang_up()

    def close(self) -> None:
        """Stop the kernel."""
        if self._manager is None:
            return
        from jupyter_core.utils import run_sync

        manager, self._manager = self._manager, None
        manager.hang_up()
        if manager.has_kernel:
            run_sync(manager.shutdown_kernel)(now=True)


def _manager(log: IO[str]) -> Any:
    """Return a manager whose kernel writes into a file, and that knows who speaks to the kernel."""
    from jupyter_client import AsyncKernelManager  # slow to import

    class Manager(AsyncKernelManager):
        last_client: Any = None

        def start_kernel(self, *arguments: Any, **options: Any) -> Any:
            # in a copied checkout the package that is installed is another one
            paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
            env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
            return super().start_kernel(*arguments, stdout=log, stderr=log, env=env, **options)

        def client(self, **options: Any) -> Any:
            self.last_client = super().client(**options)
            return self.last_client

        def hang_up(self) -> None:
            if self.last_client:
                self.last_client.stop_channels()

    return Manager(kernel_name="python3")
