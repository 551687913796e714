"""Many runs of a notebook: the YAML file, the workers, the evidence behind the results."""
