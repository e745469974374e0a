"""What the ledger reads natively from `models` (aliases, packages) and `predictions` (results)."""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.codec import Value, decode_value
from andon.core.errors import InvalidInput
from andon.core.hashing import DIGEST_BYTES
from andon.core.state_key import state_key
from consensus.ledger.directory import MEMO_COUNT_MAX, Read, text_map
from consensus.ledger.ports import PredictionFailed

MODELS = "models"
PREDICTIONS = "predictions"
SETTLED = "Settled"
ALIAS_LENGTH_MAX = 64
OUTPUT_BITS_MAX = 63
E_MODEL = "E_MODEL"
E_MODEL_INPUT = "E_MODEL_INPUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The registered facts of a model version that execution depends on."""

    model_id: bytes
    input_bytes: int
    outputs: int
    scale_num: int
    scale_den: int
    gas: int
    is_exact: bool
    is_active: bool


class Registry:
    """Finds the active package behind an alias or a hex id, in the present state."""

    __slots__ = ("_keys", "_model_ids", "_packages", "_read")

    def __init__(self, read: Read) -> None:
        self._read = read
        self._keys: dict[str | bytes, bytes] = {}
        self._model_ids: dict[bytes, bytes | None] = {}
        self._packages: dict[tuple[bytes, bytes], Package | None] = {}

    def active_exact(self, model: str) -> Package:
        """Give the package of an active exact model.

        Raises:
            PredictionFailed: E_MODEL.
        """
        package = self.package(self._model_id(model))
        if package is None:
            raise PredictionFailed(E_MODEL, f"no model is known as {model[:ALIAS_LENGTH_MAX]}")
        if not package.is_active:
            raise PredictionFailed(E_MODEL, f"model {model[:ALIAS_LENGTH_MAX]} is not active")
        if not package.is_exact:
            raise PredictionFailed(
                E_MODEL, f"model {model[:ALIAS_LENGTH_MAX]} is attested: ask with request()"
            )
        return package

    def _model_id(self, model: str) -> bytes | None:
        if len(model) > ALIAS_LENGTH_MAX:
            return None
        raw = self._read(self._key("aliases", model))
        if raw is not None:
            if raw not in self._model_ids:
                self._bound()
                identity = decode_value(raw)
                self._model_ids[raw] = identity if isinstance(identity, bytes) else None
            return self._model_ids[raw]
        if len(model) != 2 * DIGEST_BYTES:
            return None
        try:
            return bytes.fromhex(model)
        except ValueError:
            return None

    def package(self, model_id: bytes | None) -> Package | None:
        """Give what is registered under a model id."""
        if model_id is None or len(model_id) != DIGEST_BYTES:
            return None
        raw = self._read(self._key("packages", model_id))
        if raw is None:
            return None
        memo = (model_id, raw)
        if memo not in self._packages:
            self._bound()
            self._packages[memo] = _parse_package(model_id, raw)
        return self._packages[memo]

    def _key(self, variable: str, entry: str | bytes) -> bytes:
        key = self._keys.get(entry)
        if key is None:
            self._bound()
            key = self._keys[entry] = state_key(MODELS, variable, entry)
        return key

    def _bound(self) -> None:
        """Keep the memos, which are pure, below their bound."""
        if len(self._keys) + len(self._model_ids) + len(self._packages) >= MEMO_COUNT_MAX:
            self._keys.clear()
            self._model_ids.clear()
            self._packages.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An attested prediction as the `predictions` contract announces it."""

    contract: str
    model_id: bytes
    input_digest: bytes
    output: tuple[int, ...]


def parse_settled(fields: bytes) -> Settled | None:
    """Read the event; None for a shape that settles nothing."""
    try:
        entry = text_map(decode_value(fields))
    except InvalidInput:
        return None
    contract, model_id, digest = entry.get("contract"), entry.get("model"), entry.get("input")
    listed = entry.get("output")
    if not isinstance(contract, str) or not isinstance(listed, list):
        return None
    if not isinstance(model_id, bytes) or not isinstance(digest, bytes):
        return None
    output = tuple(
        item for item in listed if type(item) is int and item.bit_length() <= OUTPUT_BITS_MAX
    )
    if len(output) != len(listed) or {len(model_id), len(digest)} != {DIGEST_BYTES}:
        return None
    return Settled(contract=contract, model_id=model_id, input_digest=digest, output=output)


def _parse_package(model_id: bytes, raw: bytes) -> Package | None:
    entry = text_map(decode_value(raw))
    numbers = [
        _positive(entry, name) for name in ("input_bytes", "outputs", "scale_num", "scale_den")
    ]
    gas = entry.get("gas")
    if not isinstance(gas, int) or gas < 0:
        return None
    input_bytes, outputs, scale_num, scale_den = numbers
    if input_bytes is None or outputs is None or scale_num is None or scale_den is None:
        return None
    return Package(
        model_id=model_id,
        input_bytes=input_bytes,
        outputs=outputs,
        scale_num=scale_num,
        scale_den=scale_den,
        gas=gas,
        is_exact=entry.get("class") == "exact",
        is_active=entry.get("status") == "ACTIVE",
    )


def _positive(entry: dict[str, Value], name: str) -> int | None:
    value = entry.get(name)
    return value if isinstance(value, int) and value > 0 else None
