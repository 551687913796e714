"""Stop a function that takes much longer than another one.

Only processor time counts, so a busy machine doesn't make a function too slow.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

TIMES_SLOWER = 20
AT_LEAST_S = 2.0


class TooSlowError(BaseException):
    """A function takes too long; no `Exception`, which the function itself may catch."""


def call_in_time(function: Callable, other: Callable, argument: Any) -> Any:
    """Call a function for at most twenty times as long as another one takes.

    A function that takes longer gets a second chance.
    """
    for _ in range(2):
        start = time.process_time()
        other(argument)
        usual = time.process_time() - start
        limit = max(AT_LEAST_S, TIMES_SLOWER * usual)
        with contextlib.suppress(TooSlowError), _time_limit(limit):
            return function(argument)
    raise TooSlowError(
        f"it takes more than {limit:.1f} s, and the solution takes {usual:.1g} s. Is there a loop "
        "that never ends, or a loop over single entries instead of an operation on whole arrays?"
    )


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError after some seconds, or at the end where Python can't be interrupted."""
    is_main = threading.current_thread() is threading.main_thread()
    start = time.process_time()
    if is_main and sys.platform != "win32":  # which has no such signal
        before = signal.signal(signal.SIGPROF, _stop)
        try:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
    else:
        yield
    if time.process_time() - start > seconds:
        raise TooSlowError


def _stop(*_: object) -> None:
    raise TooSlowError
