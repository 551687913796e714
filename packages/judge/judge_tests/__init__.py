"""Tests of shd_judge."""
