"""Admission: signatures in batches, the pool of waiting transactions."""

from node.mempool.mempool import Admitted, Gate, Mempool, MempoolLimits, Refusal
from node.mempool.verifier import Verifier

__all__ = ["Admitted", "Gate", "Mempool", "MempoolLimits", "Refusal", "Verifier"]
