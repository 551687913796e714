"""Many runs of a notebook: a YAML file says which, joblib and papermill execute them."""
