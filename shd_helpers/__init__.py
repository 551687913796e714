"""Helpers behind the notebooks: each module is one step on the way of the data."""
