"""Tests of shd_engine."""
