"""Measure speed; `make bench` runs all of them."""
