"""Where spikes come from: files in SHD layout, recordings, a synthetic voice, and the model cochlea."""
