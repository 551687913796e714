"""How many threads torch takes where a network is trained step by step."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from shd_helpers.network.engine import SNNTORCH_LOOP, Engine


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread while the block runs.

    snnTorch's loop and Adam work on matrices of a few ten thousand weights. Torch splits each of
    these operations between its threads, and every thread spins until all are done. So one thread
    that has to wait for a core stops all others. We measured updates of the study's network with 8
    utterances on two cores that other programs used, too (load average 9). One update took 0.6 s
    with one thread and 12 s with two.

    The compiled engine doesn't need this: each of its own threads takes whole utterances, and it
    starts as many as torch has.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def threads_for(engine: Engine) -> AbstractContextManager[None]:
    """Return the number of threads that an engine needs, as a context."""
    return one_thread() if engine.name == SNNTORCH_LOOP.name else nullcontext()
