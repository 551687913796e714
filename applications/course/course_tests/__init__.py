"""Tests of shd_course."""
