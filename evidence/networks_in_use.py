"""The pretrained networks that are in use, and the entries of the selection they belong to."""

# By the names of their files in results/networks/. `results/selected.csv` lists the entries.
ENTRIES = {
    "adaptive": "three seeds of adaptive, augmented recordings",
    "small": "small",
}
NETWORKS = tuple(ENTRIES)
