"""Tests of shd_corpus, and what they share: recordings, files, and ways to damage them."""
