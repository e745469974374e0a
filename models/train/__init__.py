"""Ordinary JAX training: Flax NNX networks, Optax loops. Nothing here runs on a validator."""
