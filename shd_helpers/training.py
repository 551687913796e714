"""Train and validate: one epoch, then many."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import nn

from shd_helpers.model import SpikingNetwork
from shd_helpers.preprocessing import Events


def split_validation(
    events: Events, kind: str, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split the training file's utterances into training and validation.

    Parameters
    ----------
    events : Events
        The training file.
    kind : str
        ``"random"``: the same share of every class of every speaker; ``"speaker"``: whole
        speakers, at least one, so that validation hears strangers as the test file has them.
    fraction : float
        Share of the utterances (random) or of the speakers (speaker) for validation, 0..1.
    seed : int
        Chooses them.

    Returns
    -------
    tuple of ndarray
        Indices of training and of validation utterances, ascending.

    Raises
    ------
    ValueError
        If the kind is unknown or either part would be empty.
    """
    frame = pd.DataFrame({"label": events.labels, "speaker": events.speakers})
    if kind == "random":
        groups = frame.groupby(["label", "speaker"])
        validation = groups.sample(frac=fraction, random_state=seed).index.to_numpy()
    elif kind == "speaker":
        speakers = np.random.default_rng(seed).permutation(frame.speaker.unique())
        held_out = speakers[: max(1, round(fraction * len(speakers)))]
        validation = np.flatnonzero(frame.speaker.isin(held_out))
    else:
        raise ValueError(f"validation {kind!r}: unknown; take 'random' or 'speaker'")
    training = np.setdiff1d(np.arange(len(events)), validation)
    if len(training) == 0 or len(validation) == 0:
        raise ValueError(
            f"validation {kind!r} with fraction {fraction} leaves {len(training)} utterances for "
            f"training and {len(validation)} for validation; change the fraction or the kind"
        )
    return training, np.sort(validation)


def batches(
    events: Events, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield input (steps, batch, units) and labels (batch,) of all utterances, also the last few.

    Parameters
    ----------
    events : Events
        Utterances.
    batch_size : int
        Utterances in a batch; the last one may be smaller.
    generator : torch.Generator, optional
        Shuffles; without it the order is the file's.
    """
    n = len(events)
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for index in order.split(batch_size):
        x = torch.from_numpy(events.dense(index.tolist()))
        yield x, torch.from_numpy(events.labels[index.numpy()])
