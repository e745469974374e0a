"""The model registry as a client sees it: publish, propose, wait until active, alias."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from andon.client.async_client import AsyncClient
from andon.client.results import Outcome
from andon.core.codec import Key, Value, encode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES, Domain, digest
from andon.core.keys import PrivateKey
from andon.core.model import ModelManifest, model_id, validate_manifest
from andon.core.package import BLOB_NAME, Golden, decode_part, open_parts
from andon.core.pieces import pieces_root
from andon.core.publisher import PackageSignature, check_model_signature, sign_model
from andon.core.transaction import make_call

CONTRACT = "models"
ACTIVE = "ACTIVE"
POLL_S = 0.2
RUN_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Models:
    """The `models` contract behind a client; `key` is a modeler's, needed to write."""

    client: AsyncClient
    key: PrivateKey | None = None

    async def publish(
        self,
        blob: bytes,
        manifest: ModelManifest,
        *,
        signature: PackageSignature | None = None,
        parents: tuple[bytes, ...] = (),
    ) -> bytes:
        """Hand the blob to a node and propose the model; returns its id.

        Without a `signature` (a `package.sig`) the own key signs as publisher. `parents` are ids of
        models that this one was made from, beside the manifest's own parent. Validators fetch the
        blob, run its golden vectors and attest; see `wait_active`. Where the model is registered
        already, only the blob is handed over: what was broken off goes on.

        Raises:
            InvalidInput: BAD_MODEL_PACKAGE, BAD_SIGNATURE, MODEL_QUOTA, or another refusal.
        """
        validate_manifest(manifest)
        identity = model_id(manifest)
        if signature is None and self.key is not None:
            signature = sign_model(identity, self.key)
        if signature is not None:
            check_model_signature(identity, signature)
        arguments = propose_arguments(manifest, digest(Domain.BLOB, blob), len(blob))
        arguments["pieces"] = pieces_root(blob)
        arguments["origin"] = origin_of(manifest, parents)
        if signature is not None:
            arguments["publisher"] = signature.publisher
            arguments["signature"] = signature.signature
        await self.client.publish_blob(blob)
        if await self.is_registered(identity):
            return identity
        try:
            await self._send("propose", arguments)
        except InvalidInput as error:
            raise _refusal(error) from None
        return identity

    async def lineage(self, identity: bytes) -> list[dict[str, Value]]:
        """What a model was made from, nearest first, itself in front (the node's word)."""
        found = await self.client.call(CONTRACT, "lineage", {"model_id": identity})
        rows = found if isinstance(found, list) else []
        return [{str(k): v for k, v in row.items()} for row in rows if isinstance(row, dict)]

    async def wait_active(self, identity: bytes, timeout_s: float) -> dict[str, Value]:
        """Wait until more than two thirds of the validators' weight have attested.

        Raises:
            Unavailable: MODEL_NOT_ACTIVE if they have not in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            entry = await self.entry(identity)
            status = entry.get("status")
            if status == ACTIVE:
                return entry
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(
                    Code.MODEL_NOT_ACTIVE,
                    f"model {identity.hex()[:16]} is {status!s:.20} after {timeout_s:.0f} s",
                    hint="publish again goes on waiting (--timeout SECONDS waits longer); the "
                    "validators' logs say whether they fetched and checked it",
                )
            await asyncio.sleep(POLL_S)

    async def is_registered(self, identity: bytes) -> bool:
        """Tell, proved, whether the registry knows a model."""
        try:
            return await self.client.state(CONTRACT, "packages", identity) is not None
        except InvalidInput as error:
            # Before the first block nothing is proved, and nothing can have been published.
            if error.code is Code.HEIGHT_UNKNOWN:
                return False
            raise

    async def entry(self, identity: bytes) -> dict[str, Value]:
        """The registry's proved entry of a model.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        value = await self.client.state(CONTRACT, "packages", identity)
        if not isinstance(value, dict):
            raise InvalidInput(Code.NOT_FOUND, f"there is no model {identity.hex()[:16]}")
        return {str(name): item for name, item in value.items()}

    async def resolve(self, alias: str) -> bytes | None:
        """Model id that an alias names, proved; None if there is no such alias."""
        value = await self.client.state(CONTRACT, "aliases", alias)
        return value if isinstance(value, bytes) else None

    async def set_alias(self, alias: str, identity: bytes) -> Outcome:
        """Point an alias at an active model."""
        return await self._send("set_alias", {"alias": alias, "model_id": identity})

    async def roll_back(self, alias: str) -> Outcome:
        """Point an alias to the model that it named before."""
        return await self._send("roll_back", {"alias": alias})

    async def retire(self, identity: bytes) -> Outcome:
        """Take a model out of use."""
        return await self._send("retire", {"model_id": identity})

    async def _send(self, method: str, args: dict[str, Value]) -> Outcome:
        submission = await self.client.submit(make_call(CONTRACT, method, args), key=self.key)
        return submission.require()


def golden_of_blob(blob: bytes) -> Golden:
    """Read the golden vectors out of a package blob. Raises as `manifest_of_blob`."""
    golden = decode_part(Golden, open_parts(blob)[0].golden)
    if not golden.windows or len(golden.windows) != len(golden.outputs):
        raise InvalidInput(Code.BAD_MODEL_PACKAGE, "golden windows and outputs differ in number")
    return golden


def manifest_of_blob(blob: bytes) -> ModelManifest:
    """Read the manifest out of a package blob; validators check what its parts mean.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE, DIGEST_MISMATCH, TOO_LARGE or NOT_CANONICAL.
    """
    return open_parts(blob)[1]


def package_file(path: Path) -> Path:
    """The blob of a package that is given as its folder, or as the blob itself."""
    return path / BLOB_NAME if path.is_dir() else path


def origin_of(manifest: ModelManifest, parents: tuple[bytes, ...] = ()) -> dict[Key, Value]:
    """Parents, training run and data digest of a package, as the registry keeps them.

    The run is the manifest's `run` or `recipe`, the data its `data_sha256`.
    """
    training = dict(manifest.training)
    own = (manifest.parent,) if manifest.parent else ()
    listed: list[Value] = [*dict.fromkeys((*own, *parents))]
    try:
        data = bytes.fromhex(training.get("data_sha256", ""))
    except ValueError:
        data = b""
    return {
        "parents": listed,
        "run": training.get("run", training.get("recipe", ""))[:RUN_LENGTH_MAX],
        "data": data if len(data) == DIGEST_BYTES else b"",
    }


def _refusal(error: InvalidInput) -> InvalidInput:
    """The registry's refusals that a publisher can act on, with codes of their own."""
    for mark, code, hint in (
        ("quota: ", Code.MODEL_QUOTA, "`andon models retire` what is not needed"),
        ("signature: ", Code.BAD_SIGNATURE, "`andon models sign PATH --from KEY`"),
    ):
        if mark in error.message:
            return InvalidInput(code, error.message, hint=hint)
    return error


def propose_arguments(
    manifest: ModelManifest, blob_digest: bytes, size_bytes: int
) -> dict[str, Value]:
    """Arguments of `models.propose` for a manifest."""
    return {
        "model_id": model_id(manifest),
        "name": manifest.name,
        "manifest_digest": digest(Domain.BLOB, encode(manifest)),
        "blob": blob_digest,
        "size": size_bytes,
        "input_bytes": manifest.input_bytes,
        "outputs": manifest.outputs,
        "scale_num": manifest.scale_num,
        "scale_den": manifest.scale_den,
        "gas": manifest.gas,
        "kind": manifest.kind,
    }
