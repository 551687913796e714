"""Training, run folders, tables, and the notebooks as one command."""
