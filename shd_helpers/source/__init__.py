"""Where spikes come from: files in SHD layout, recordings, a synthetic voice, the model cochlea."""

from shd_helpers.source.datasets import dataset_name, fingerprint, locate

__all__ = ["dataset_name", "fingerprint", "locate"]
