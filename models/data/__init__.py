"""Readers of public data sets and a generator of run-to-failure data."""
