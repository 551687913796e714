"""Execute a notebook in a kernel of its own; start the kernel again if it dies at its start."""

from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from jupyter_client import AsyncKernelManager

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


def execute(notebook: Path, out: Path, parameters: Mapping[str, object], **options: Any) -> None:
    """Execute a notebook by papermill, in its own folder and in a kernel of its own.

    What the kernel itself says, not the cells, goes into a file beside `out` that ends with
    ``.log``. It stays if the notebook doesn't end.

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
        As `again_if_it_dies`; a note names the file.
    """
    import papermill  # slow to import

    has_begun: list[bool] = []
    log_file = out.with_suffix(".log")
    with log_file.open("w") as log:
        try:
            again_if_it_dies(
                lambda: papermill.execute_notebook(
                    notebook,
                    out,
                    parameters,
                    kernel_name="python3",
                    cwd=notebook.parent,
                    on_notebook_start=lambda **_: has_begun.append(True),
                    kernel_manager_class=_kernels_that_write(log),
                    **options,
                ),
                has_begun,
            )
        except RuntimeError as error:
            error.add_note(f"What the kernel said last is in {log_file}")
            raise
    log_file.unlink()


def _kernels_that_write(log: IO[str]) -> "type[AsyncKernelManager]":
    """Return a manager whose kernels write into a file instead of on the terminal.

    A kernel that is stopped half-way prints tracebacks of its own, between the lines of a
    progress bar and the one clear sentence that a user gets.
    """
    from jupyter_client import AsyncKernelManager  # slow to import

    class Manager(AsyncKernelManager):
        def start_kernel(self, *arguments: Any, **options: Any) -> Any:
            return super().start_kernel(*arguments, stdout=log, stderr=log, **options)

    return Manager
