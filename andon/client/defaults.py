"""Defaults that the command line shows before it needs a client."""

GAS_LIMIT = 20_000_000
"""Default of one transaction; what is not used is not charged."""
