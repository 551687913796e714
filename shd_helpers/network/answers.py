"""What a network answers."""

import numpy as np
import torch


def answers(scores: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return the classes with the highest scores, the lowest of several with equally high ones.

    Parameters
    ----------
    scores : ndarray or Tensor
        Class scores, shape (..., classes): output spikes, mean membranes, or any network's.

    Returns
    -------
    ndarray
        Shape (...,), int64.
    """
    return np.asarray(scores).argmax(-1)
