"""Benchmarks that anyone can rerun; each prints its conditions beside its figures."""
