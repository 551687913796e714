"""Many runs of a notebook: a YAML file says which, papermill executes them on a Dask cluster."""
