"""Contract `models`: the publisher's signature, what a model was made from, quotas."""

from __future__ import annotations

import pytest

from andon.core.codec import Value
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.publisher import sign_model
from contracts_py.library import source
from tests.unit.contracts_py.test_library import network
from tests.unit.contracts_py.world import CAROL, World

KEY = PrivateKey(b"p" * 32)
OTHER = PrivateKey(b"o" * 32)
MODEL = b"m" * 32
LARGE = 512 * 1024 * 1024


def signing_network() -> World:
    world = network().put("models", source("models"))
    world.host.organisations[KEY.public] = "org-3"
    world.host.organisations[OTHER.public] = "org-1"
    return world


def arguments(
    model: bytes = MODEL, key: PrivateKey | None = KEY, **changes: Value
) -> dict[str, Value]:
    found: dict[str, Value] = {
        "model_id": model, "name": "rul", "manifest_digest": b"d" * 32, "blob": b"b" * 32,
        "size": 9, "input_bytes": 4, "outputs": 1, "scale_num": 1, "scale_den": 10, "gas": 500,
        "kind": "exact",
    }  # fmt: skip
    if key is not None:
        signed = sign_model(model, key)
        found |= {"publisher": signed.publisher, "signature": signed.signature}
    return {**found, **changes}


def refusal(world: World, **given: Value) -> str:
    failure = world.run("models", "propose", sender=CAROL, **given).failure
    assert failure is not None
    return failure.message


def test_a_package_signed_by_a_member_of_the_organisation_is_proposed() -> None:
    world = signing_network()
    world.value("models", "propose", sender=CAROL, **arguments())
    entry = world.state("models", "packages", MODEL)
    assert isinstance(entry, dict)
    assert entry["publisher"] == KEY.public


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (arguments(key=None), "unsigned"),
        (arguments(key=OTHER), "no member"),
        (arguments(b"n" * 32) | {"model_id": MODEL}, "did not sign"),
        (arguments(signature=bytes(64)), "did not sign"),
        (arguments(publisher=OTHER.public), "did not sign"),
    ],
)
def test_what_its_publisher_did_not_sign_is_refused(given: dict[str, Value], message: str) -> None:
    world = signing_network()
    text = refusal(world, **given)
    assert "signature: " in text
    assert message in text
    assert world.state("models", "packages", MODEL) is None


def test_a_network_founded_with_allow_unsigned_takes_unsigned_but_no_false_signature() -> None:
    world = network()
    assert "did not sign" in refusal(world, **arguments(signature=bytes(64)))
    world.value("models", "propose", sender=CAROL, **arguments(key=None))


def test_lineage_follows_parents_and_names_run_and_data() -> None:
    world = signing_network()
    names = [bytes(digest(Domain.MODEL, bytes([place]))) for place in range(4)]
    stranger = b"s" * 32
    for place, parents in enumerate(([], [names[0]], [names[0], stranger], [names[1], names[2]])):
        origin: Value = {"parents": list(parents), "run": f"run {place}", "data": b"x" * 32}
        world.value("models", "propose", sender=CAROL, **arguments(names[place], origin=origin))
    rows = world.value("models", "lineage", model_id=names[3])
    assert isinstance(rows, list)
    found = [(row["model_id"], row["status"]) for row in rows if isinstance(row, dict)]
    assert found == [
        (names[3], "PROPOSED"), (names[1], "PROPOSED"), (names[2], "PROPOSED"),
        (names[0], "PROPOSED"), (stranger, "UNKNOWN"),
    ]  # fmt: skip
    first = rows[0]
    assert isinstance(first, dict)
    assert (first["run"], first["data"]) == ("run 3", b"x" * 32)


@pytest.mark.parametrize(
    "parents", [[MODEL], [b"short"], [b"a" * 32] * 2, [bytes([i]) * 32 for i in range(9)]]
)
def test_impossible_parents_are_refused(parents: list[Value]) -> None:
    world = signing_network()
    assert (
        world.code("models", "propose", sender=CAROL, **arguments(origin={"parents": parents}))
        == "E_ASSERT"
    )


def test_an_organisation_has_a_quota_of_models_and_bytes_until_it_retires_some() -> None:
    world = signing_network()
    names = [bytes(digest(Domain.MODEL, bytes([place]))) for place in range(17)]
    for name in names[:16]:
        world.value("models", "propose", sender=CAROL, **arguments(name))
    assert "quota: " in refusal(world, **arguments(names[16]))
    world.value("models", "retire", sender=CAROL, model_id=names[0])
    assert world.code("models", "retire", sender=CAROL, model_id=names[0]) == "E_ASSERT"
    assert "quota: " in refusal(world, **arguments(names[16], size=LARGE))
    world.value("models", "propose", sender=CAROL, **arguments(names[16]))
    assert world.value("models", "taken", org="org-3") == {"models": 16, "bytes": 16 * 9}
