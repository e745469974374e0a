"""Admission: signatures in threads, the pool of waiting transactions."""

from node.mempool.mempool import Gate, Mempool, MempoolLimits
from node.mempool.verifier import Verifier

__all__ = ["Gate", "Mempool", "MempoolLimits", "Verifier"]
