"""The filter bank: sound to the events of utterances, in whole numbers that fit in a circuit.

`bank` defines it, `stream` computes it with `kernels`, and filter_bank.c does the same in C99.
"""

from shd_corpus.filter_bank.bank import FilterBank, to_samples
from shd_corpus.filter_bank.stream import EventStream, Resampler, StreamUtterance, encode

__all__ = ["EventStream", "FilterBank", "Resampler", "StreamUtterance", "encode", "to_samples"]
