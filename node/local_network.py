"""Make the homes of a local network: keys, one genesis, one configuration a node.

`python -m node.local_network --home DIR --validators 4` writes them and prints the manifest, which
also stands in DIR/network.json. With a seed the keys are reproducible, which is for tests only.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from andon.core.codec import Key, Value
from andon.core.errors import Code, Misuse
from andon.core.genesis import (
    Genesis,
    GenesisContract,
    Params,
    contract_at_genesis,
    genesis_hash,
    genesis_to_json,
)
from andon.core.keys import PrivateKey
from node.config import Config, Home, render_config
from node.keystore import NODE_KEY, VALIDATOR_KEY, save_key

MANIFEST_FILE = "network.json"
VALIDATORS_MAX = 64
LOOPBACK = "127.0.0.1"
ROLES = ("admin", "operator", "modeler", "deployer")
DEMO_MODEL = "turbofan-rul"


class NodeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the manifest; `home` is relative to the manifest's folder."""

    name: str
    home: str
    organisation: str
    rpc: str
    peer: str
    node_key: str
    validator_key: str
    """Empty for an observer."""


class AccountEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One member account; `key_file` is relative to the manifest's folder."""

    name: str
    organisation: str
    roles: list[str]
    key_file: str
    public: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, for launchers and clients."""

    chain_id: str
    genesis: str
    genesis_hash: str
    nodes: list[NodeEntry]
    accounts: list[AccountEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to make. Peer ports are base_port, base_port + 2, …; RPC ports lie between them."""

    home: Path
    validators: int = 4
    observers: int = 0
    base_port: int = 26656
    chain_id: str = "andon-local"
    seed: int | None = None
    worker_backend: str = "cpu"
    params: Params = field(default_factory=Params)
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    organisation: str
    roles: tuple[str, ...]
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    organisation: str
    node_key: PrivateKey
    validator_key: PrivateKey | None
    peer_port: int

    @property
    def rpc_port(self) -> int:
        return self.peer_port + 1


def prepare(plan: Plan) -> Manifest:
    """Write the homes of a new network.

    Raises:
        Misuse: BAD_CONFIG for an impossible plan or a home that holds a network already.
    """
    if not 1 <= plan.validators <= VALIDATORS_MAX:
        raise Misuse(Code.BAD_CONFIG, f"a local network has 1 to {VALIDATORS_MAX} validators")
    if (plan.home / MANIFEST_FILE).exists():
        raise Misuse(
            Code.BAD_CONFIG, f"{plan.home} holds a network already", hint="reset it, or use it"
        )
    validators = [_make_node(plan, index) for index in range(plan.validators)]
    observers = [_make_observer(plan, index) for index in range(plan.observers)]
    nodes = [*validators, *observers]
    members = [member for node in validators for member in _make_members(plan, node.organisation)]
    genesis = make_genesis(plan, _identity_arguments(validators, members))
    text = genesis_to_json(genesis)
    plan.home.mkdir(parents=True, exist_ok=True)
    (plan.home / "genesis.json").write_bytes(text)
    observer_keys = [node.node_key.public.hex() for node in observers]
    for node in nodes:
        _write_node(plan, node, text, observer_keys)
    for member in members:
        save_key(plan.home / "accounts" / f"{member.name}.key", member.key)
    manifest = _manifest(genesis, nodes, members)
    document = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    (plan.home / MANIFEST_FILE).write_bytes(document)
    return manifest


def make_genesis(plan: Plan, identity: dict[str, Value]) -> Genesis:
    """The genesis document with the contracts that a factory network starts with."""
    from contracts_py.library import source  # noqa: PLC0415 - only whoever makes a genesis needs it

    contracts: tuple[GenesisContract, ...] = (
        contract_at_genesis("identity", source("identity"), identity),
        contract_at_genesis("models", source("models"), {}),
        contract_at_genesis("committees", source("committees"), {}),
        contract_at_genesis("predictions", source("predictions"), {}),
        contract_at_genesis("scores", source("scores"), {}),
        contract_at_genesis("maintenance", source("maintenance"), {"model": DEMO_MODEL}),
        contract_at_genesis("telemetry", source("telemetry"), {}),
        contract_at_genesis("private", source("private"), {}),
    )
    time_ms = 1_700_000_000_000 if plan.seed is not None else time.time_ns() // 1_000_000
    return Genesis(plan.chain_id, time_ms, plan.params, contracts)


def _make_node(plan: Plan, index: int) -> _Node:
    return _Node(
        name=f"node-{index + 1}",
        organisation=f"org-{index + 1}",
        node_key=_make_key(plan, f"node {index}"),
        validator_key=_make_key(plan, f"validator {index}"),
        peer_port=plan.base_port + 2 * index,
    )


def _make_observer(plan: Plan, index: int) -> _Node:
    return _Node(
        name=f"observer-{index + 1}",
        organisation="org-1",
        node_key=_make_key(plan, f"observer {index}"),
        validator_key=None,
        peer_port=plan.base_port + 2 * (plan.validators + index),
    )


def _make_members(plan: Plan, organisation: str) -> list[_Member]:
    return [
        _Member(
            name=f"{organisation}-{role}",
            organisation=organisation,
            roles=(role,),
            key=_make_key(plan, f"member {organisation} {role}"),
        )
        for role in ROLES
    ]


def _make_key(plan: Plan, purpose: str) -> PrivateKey:
    if plan.seed is None:
        return PrivateKey(secrets.token_bytes(32))
    return PrivateKey(hashlib.sha256(f"andon test key {plan.seed} {purpose}".encode()).digest())


def _identity_arguments(nodes: Sequence[_Node], members: Sequence[_Member]) -> dict[str, Value]:
    organisations: list[Value] = [node.organisation for node in nodes]
    member_list: list[Value] = []
    for member in members:
        roles: list[Value] = list(member.roles)
        entry: dict[Key, Value] = {
            "account": member.key.public,
            "org": member.organisation,
            "roles": roles,
        }
        member_list.append(entry)
    validator_list: list[Value] = []
    keyed = [(node.validator_key.public, node) for node in nodes if node.validator_key is not None]
    for key, node in sorted(keyed, key=lambda item: item[0]):
        listed: dict[Key, Value] = {
            "key": key,
            "weight": 1,
            "org": node.organisation,
            "address": f"{LOOPBACK}:{node.peer_port}",
            "node_key": node.node_key.public,
        }
        validator_list.append(listed)
    policy: dict[Key, Value] = {}
    return {
        "organisations": organisations,
        "members": member_list,
        "validators": validator_list,
        "policy": policy,
    }


def _write_node(plan: Plan, node: _Node, genesis: bytes, observer_keys: list[str]) -> None:
    home = Home(plan.home / node.name)
    for folder in (home.path, home.data, home.logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_key(home.keys / NODE_KEY, node.node_key)
    if node.validator_key is not None:
        save_key(home.keys / VALIDATOR_KEY, node.validator_key)
    home.genesis.write_bytes(genesis)
    config = Config(
        peer_host=LOOPBACK,
        peer_port=node.peer_port,
        rpc_host=LOOPBACK,
        rpc_port=node.rpc_port,
        worker_backend=plan.worker_backend if node.validator_key is not None else "none",
        log_level=plan.log_level,
        observer_keys=observer_keys if node.validator_key is not None else [],
    )
    home.config.write_text(render_config(config), encoding="utf-8")


def _manifest(genesis: Genesis, nodes: Sequence[_Node], members: Sequence[_Member]) -> Manifest:
    return Manifest(
        chain_id=genesis.chain_id,
        genesis="genesis.json",
        genesis_hash=genesis_hash(genesis).hex(),
        nodes=[
            NodeEntry(
                name=node.name,
                home=node.name,
                organisation=node.organisation,
                rpc=f"http://{LOOPBACK}:{node.rpc_port}",
                peer=f"{LOOPBACK}:{node.peer_port}",
                node_key=node.node_key.public.hex(),
                validator_key="" if node.validator_key is None else node.validator_key.public.hex(),
            )
            for node in nodes
        ],
        accounts=[
            AccountEntry(
                name=member.name,
                organisation=member.organisation,
                roles=list(member.roles),
                key_file=f"accounts/{member.name}.key",
                public=member.key.public.hex(),
            )
            for member in members
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the homes and print the manifest."""
    parser = argparse.ArgumentParser(prog="python -m node.local_network", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--base-port", type=int, default=26656)
    parser.add_argument("--chain-id", default="andon-local")
    parser.add_argument("--seed", type=int, default=None, help="reproducible keys: tests only")
    parser.add_argument("--worker-backend", default="cpu")
    options = parser.parse_args(arguments)
    manifest = prepare(
        Plan(
            home=options.home,
            validators=options.validators,
            base_port=options.base_port,
            chain_id=options.chain_id,
            seed=options.seed,
            worker_backend=options.worker_backend,
        )
    )
    print(msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode())  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
