"""The error tree: every failure says whose fault it is, carries a stable code and a hint.

Owns the four faults of the house (style guide, "Errors") and the catalogue of codes. Codes are
stable: they appear in receipts, RPC replies and documentation, so one is never reused. Ranges
follow docs/protocol.md: 1-199 execution, 200-299 authority, 300-399 prediction, 400-499 model,
500-599 bytes and records, 600-699 consensus, 800-999 limits, 1000-1199 mempool, 1200-1299 node.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, TypeVar

E = TypeVar("E", bound=Exception)


class Fault(Enum):
    """Who has to act."""

    PEER = "peer"  # whoever sent the bytes: drop, score, answer with the code
    CALLER = "caller"  # our own code or configuration: a bug
    ENVIRONMENT = "environment"  # nobody's fault now: retry later
    DISK = "disk"  # stored data is not what was written: stop the node


class AndonError(Exception):
    """Base of every error that crosses a room's door.

    Subclasses set `fault`; a raise site gives a stable `code` (see `Code`), a message built
    from its fields, and a hint that says what to do.
    """

    fault: ClassVar[Fault] = Fault.CALLER

    def __init__(self, code: Code, message: str, *, hint: str = "", **fields: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.fields: dict[str, object] = fields

    def __str__(self) -> str:
        hint = f" Hint: {self.hint}" if self.hint else ""
        return f"{self.code.name} ({self.code.value}): {self.message}{hint}"


class InvalidInput(AndonError):
    """A peer or user sent something that the rules refuse."""

    fault = Fault.PEER


class Misuse(AndonError):
    """Our own caller broke a contract of the function: a bug on this side."""

    fault = Fault.CALLER


class Unavailable(AndonError):
    """Cannot be served now; the same request may succeed later."""

    fault = Fault.ENVIRONMENT


class Corrupt(AndonError):
    """Stored data is damaged; the node must stop rather than sign on top of it."""

    fault = Fault.DISK


class Code(Enum):
    """The catalogue: one stable number a code."""

    # 1-199 execution of a transaction (also found in receipts)
    CONTRACT_REVERTED = 3
    CONFIRMATION_TIMEOUT = 4
    OUT_OF_GAS = 10
    CONTRACT_FAILED = 11
    NO_CONTRACT = 12
    NO_METHOD = 13
    BAD_ARGUMENTS = 14
    CONTRACT_REFUSED = 15
    CONTRACT_EXISTS = 16
    STATE_LIMIT = 17
    # 200-299 authority
    BAD_SIGNATURE = 200
    NOT_A_MEMBER = 201
    ROLE_DENIED = 202
    BAD_KEY = 203
    WRONG_CHAIN = 204
    WRONG_PEER = 205
    UNAUTHENTICATED = 206
    FOREIGN_SITE = 207
    # 300-399 prediction
    PREDICTION_MISMATCH = 300
    PREDICTION_MISSING = 301
    MODEL_NOT_ACTIVE = 303
    BAD_MODEL_INPUT = 304
    # 400-499 model packages
    DIGEST_MISMATCH = 400
    BAD_MODEL_PACKAGE = 401
    NOT_CERTIFIED = 402
    CONFORMANCE_FAILED = 403
    BAD_DATASET = 404
    MODEL_QUOTA = 405
    # 500-599 bytes and records
    MALFORMED = 500
    NOT_CANONICAL = 501
    BAD_PROOF = 502
    BAD_GENESIS = 503
    # 600-699 consensus
    BAD_BLOCK = 600
    BAD_CERTIFICATE = 601
    BAD_VOTE = 602
    BAD_EVIDENCE = 603
    SIGN_REFUSED = 604
    WRONG_EPOCH = 605
    WRONG_VERSION = 606
    # 800-999 limits
    TOO_LARGE = 801
    TOO_DEEP = 802
    TOO_MANY = 803
    RATE_LIMITED = 804
    # 1000-1199 mempool
    DUPLICATE = 1000
    EXPIRED = 1001
    EXPIRES_TOO_LATE = 1002
    MEMPOOL_FULL = 1003
    SENDER_QUOTA = 1004
    GAS_LIMIT = 1005
    # 1200-1299 node
    SYNCING = 1200
    HEIGHT_UNKNOWN = 1201
    CURSOR_EXPIRED = 1202
    NOT_READY = 1203
    NOT_FOUND = 1204
    UNREACHABLE = 1205
    PORT_IN_USE = 1206
    STORAGE_DAMAGED = 1207
    STORAGE_FULL = 1208
    LOCKED = 1209
    WORKER_DOWN = 1210
    BAD_CONFIG = 1211
    BAD_REQUEST = 1212
    SIGNER_DOWN = 1213
    SLOW_READER = 1214
    HALTED = 1215
    BROKER_UNTRUSTED = 1216
    BROKER_REFUSED = 1217
    BLOB_QUOTA = 1218
    INTERNAL = 1299


def without_frames(error: E) -> E:
    """Take from an error that is handed on as a value what leads back to who hands it on.

    Frames hold the list that holds the error: such a circle, and whatever its frames know, would
    wait for the garbage collector, which a node lets look seldom.
    """
    error.__context__ = None
    return error.with_traceback(None)
