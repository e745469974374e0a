"""Pages of network, search, proofs."""

from __future__ import annotations

from andon.core.errors import AndonError, InvalidInput
from andon.core.genesis import genesis_hash
from andon.core.hashing import DIGEST_BYTES
from andon.core.state_key import state_key
from node.explorer.html import Child, code, facts, link, place, section, table, tag
from node.explorer.pages_supply import find_item
from node.explorer.view import (
    Desk,
    Page,
)

VARIABLE_ROWS = 20
QUERY_CHARACTERS_MAX = 200
NAME_CHARACTERS_MAX = 64


async def network(desk: Desk) -> Page:
    """This node, its peers and its readiness by criterion."""
    status = desk.node.status()
    checks: list[list[Child]] = [
        [
            check.name,
            tag("span", "ok" if check.is_ok else "not ok", class_="ok" if check.is_ok else "bad"),
            check.detail,
        ]
        for check in desk.node.health("ready").checks
    ]
    peers: list[list[Child]] = [
        [
            peer.organisation,
            peer.address,
            code(peer.node_key.hex()[:16]),
            tag(
                "span",
                "connected" if peer.connected else "away",
                class_="ok" if peer.connected else "bad",
            ),
            peer.height,
        ]
        for peer in status.peers
    ]
    pairs: list[tuple[str, Child]] = [
        ("version", status.version),
        ("chain", status.chain_id),
        ("genesis hash", code(genesis_hash(desk.node.genesis).hex())),
        ("genesis file", link("/genesis.json", "download")),
        ("node key", code(status.node_key.hex())),
        ("validator key", code(status.validator_key.hex()) if status.validator_key else "observer"),
        ("syncing", "yes" if status.is_syncing else "no"),
        ("pool", f"{status.mempool_count} transactions, {status.mempool_bytes:,} bytes"),
        ("worker", f"{status.worker_state} {status.worker_detail}"),
        ("models loaded", status.models_loaded),
        ("metrics", link("/metrics", "Prometheus")),
        ("API", link("/openapi.json", "OpenAPI 3.1")),
    ]
    head = ["organisation", "address", "node key", "link", "#claimed height"]
    body: list[Child] = [
        facts(pairs),
        section("Readiness", table(["check", "state", "detail"], checks)),
        section("Peers", table(head, peers)),
    ]
    return Page("Network", body, live=True)


async def find(desk: Desk, query: str) -> str | None:
    """Where a search leads: a path, or None. Takes heights, hashes, machines, contracts."""
    text = query.strip()[:QUERY_CHARACTERS_MAX]
    if text.isdecimal() and len(text) < 19 and int(text) <= desk.node.status().height:
        return f"/block/{text}"
    plain = text.removeprefix("0x").lower()
    try:
        data = bytes.fromhex(plain)
    except ValueError:
        data = b""
    if len(data) >= DIGEST_BYTES:
        return await _find_hash(desk, data)
    if not text:
        return None
    if text in desk.recent.machines or await _is_machine(desk, text):
        return place("machine", text)
    item = await find_item(desk, text)
    if item is not None:
        return item
    try:
        source = (await desk.node.state(state_key("contracts", "source", text))).value
    except AndonError:  # too long for a key: no contract's name
        return None
    return None if source is None else place("contract", text)


async def _is_machine(desk: Desk, text: str) -> bool:
    """Tell whether a contract keeps a machine of that name."""
    if len(text) > NAME_CHARACTERS_MAX:
        return False
    for contract in await desk.holders("machines"):
        if (await desk.node.state(state_key(contract, "machines", text))).value is not None:
            return True
    return False


async def _find_hash(desk: Desk, data: bytes) -> str | None:
    for path, look in (
        ("/tx/", desk.node.transaction),
        ("/block/", desk.node.block),
        ("/prediction/", desk.node.prediction),
    ):
        try:
            await look(data)
        except InvalidInput:
            continue
        return path + data.hex()
    return f"/model/{data.hex()}" if data in await desk.models() else None


def search(query: str) -> Page:
    """Nothing found."""
    body: list[Child] = [
        tag("p", f"Nothing is known under “{query[:QUERY_CHARACTERS_MAX]}”."),
        tag(
            "p",
            "Search takes a height, a hash of a block, transaction, prediction or model, the name "
            "of a machine or contract, the id of a lot or item, a GTIN or an SSCC.",
            class_="muted",
        ),
    ]
    return Page("Search", body)


def _file(name: str, label: str) -> Child:
    return tag(
        "p", tag("label", label, for_=name), " ", tag("input", type="file", id=name, name=name)
    )


def verify() -> Page:
    """How to check a proof without trusting this node."""
    body: list[Child] = [
        tag(
            "p",
            "A proof file shows that a prediction, receipt or state value was made final by the "
            "validators of this network. Checking it needs the genesis file and no node.",
        ),
        tag("pre", "andon verify prediction.proof --genesis genesis.json"),
        tag("p", link("/genesis.json", "The genesis document of this network")),
        tag(
            "form",
            _file("proof", "Proof file"),
            _file("genesis", "Genesis file, so as not to trust this node (optional)"),
            id="verify",
            hidden=True,
        ),
        tag("output", id="verdict", role="status"),
    ]
    return Page("Verify", body, script="verify.js")
