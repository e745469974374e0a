"""Andon: a permissioned network on which manufacturers agree on machine-learning predictions."""

__version__ = "0.1.0"
