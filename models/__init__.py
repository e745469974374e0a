"""Exact deep learning: train in JAX, certify as integers, run bit for bit on every backend."""
