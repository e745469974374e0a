"""Start a network of several organisations: homes, cards, the genesis file, and its check.

    python -m scripts.ceremony home --home DIR --organisation NAME --address HOST:PORT
    python -m scripts.ceremony genesis --chain-id ID --out genesis.json CARD...
    python -m scripts.ceremony check genesis.json
    python -m scripts.ceremony validators --current FILE --height H [--add CARD] [--remove NAME]
    python -m scripts.ceremony observer --home DIR --genesis genesis.json
    python -m scripts.ceremony trial --out DIR --address HOST:PORT ... [--observers N]

`validators` prints the arguments of a proposal that changes the set of a running network; FILE is
what `andon --json query state identity.validators` printed.

A card is what one organisation tells the others: public keys and an address, nothing secret. The
order of the cards does not matter. `trial` makes all homes at one place, which is for trials only.
Source: docs/operator.md, "The first block".
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.core.errors import AndonError
from andon.core.genesis import Params, genesis_from_json
from andon.core.keys import PrivateKey, check_public_key
from node.config import Config, Home, render_config
from node.keystore import NODE_KEY, VALIDATOR_KEY, key_exists, load_key, save_key
from node.local_network import ROLES
from node.net.addresses import is_loopback
from node.net.peers import parse_address
from scripts.founding import Card, Member, from_hex, proposal, report, write_genesis

CARD_FILE = "card.json"
PEER_PORT = 26656


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; 0 if it worked, 1 with a message for people if not."""
    options = parser().parse_args(arguments)
    try:
        match options.step:
            case "home":
                members = [parse_member(text) for text in options.member]
                card = make_home(
                    options.home,
                    Card(
                        organisation=options.organisation,
                        address=options.address,
                        node_key="",
                        validator_key="",
                        weight=options.weight,
                        members=members,
                    ),
                    accounts=options.accounts,
                )
                print(f"card: {card} (give it to the others; the home stays with you)")
            case "genesis":
                write_genesis(options.out, options.chain_id, options.cards)
                print(report(genesis_from_json(options.out.read_bytes())))
            case "check":
                print(report(genesis_from_json(options.genesis.read_bytes())))
            case "validators":
                current = options.current.read_bytes()
                print(proposal(current, options.height, options.add, options.remove))
            case "observer":
                key = make_observer(options.home, options.genesis.read_bytes())
                print(f"node key: {key} (validators list it under observer_keys)")
            case _:
                make_trial(
                    options.out, options.chain_id, options.address, observers=options.observers
                )
    except (AndonError, OSError) as error:
        print(f"ceremony: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m scripts.ceremony", description=__doc__)
    steps = top.add_subparsers(dest="step", required=True)
    home = steps.add_parser("home", help="make the home of a node and its card")
    home.add_argument("--home", type=Path, required=True)
    home.add_argument("--organisation", required=True)
    home.add_argument("--address", required=True, help="where peers reach the node: host:port")
    home.add_argument("--weight", type=int, default=1)
    home.add_argument(
        "--member", action="append", default=[], metavar="PUBLIC:ROLE,...", help="an account"
    )
    home.add_argument("--accounts", type=Path, help="make one account a role in this folder")
    genesis = steps.add_parser("genesis", help="join cards to a genesis file")
    genesis.add_argument("--chain-id", required=True)
    genesis.add_argument("--out", type=Path, required=True)
    genesis.add_argument("cards", type=Path, nargs="+")
    check = steps.add_parser("check", help="print what a genesis file says, and its hash")
    check.add_argument("genesis", type=Path)
    validators = steps.add_parser("validators", help="arguments of a proposal for another set")
    validators.add_argument("--current", type=Path, required=True, help="JSON of the present set")
    validators.add_argument("--height", type=int, required=True, help="when the new set begins")
    validators.add_argument("--add", type=Path, action="append", default=[], metavar="CARD")
    validators.add_argument("--remove", action="append", default=[], metavar="ORGANISATION")
    observer = steps.add_parser("observer", help="make the home of a node without a vote")
    observer.add_argument("--home", type=Path, required=True)
    observer.add_argument("--genesis", type=Path, required=True)
    trial = steps.add_parser("trial", help="make all homes of a trial network, if not there")
    trial.add_argument("--out", type=Path, required=True)
    trial.add_argument("--chain-id", default="andon-trial")
    trial.add_argument("--address", action="append", required=True, help="one a validator")
    trial.add_argument("--observers", type=int, default=0)
    return top


def parse_member(text: str) -> Member:
    """Parse `PUBLIC:ROLE,ROLE`. Raises InvalidInput BAD_KEY."""
    public, _, roles = text.partition(":")
    check_public_key(from_hex(public))
    return Member(public, [role for role in roles.split(",") if role])


def make_home(home: Path, card: Card, accounts: Path | None = None) -> Path:
    """Make keys and configuration of a node and write its card; the path of the card.

    Keys that are there already are kept, so the step may be repeated with another address.
    """
    host, port = parse_address(card.address)
    at = Home(home)
    for folder in (at.path, at.keys, at.data, at.logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    node, validator = (key_of(at.keys / name) for name in (NODE_KEY, VALIDATOR_KEY))
    members = list(card.members)
    for role in ROLES if accounts is not None else ():
        account = key_of(accounts / f"{card.organisation}-{role}.key") if accounts else node
        members.append(Member(account.public.hex(), [role]))
    if not at.config.exists():
        # Peers authenticate; a trial on one machine stays there, or loopback would not be dialled.
        listening = host if is_loopback(host) else "0.0.0.0"  # noqa: S104
        config = Config(peer_host=listening, peer_port=port)
        at.config.write_text(render_config(config), encoding="utf-8")
    full = msgspec.structs.replace(
        card,
        node_key=node.public.hex(),
        validator_key=validator.public.hex(),
        members=members,
    )
    path = at.path / CARD_FILE
    path.write_bytes(msgspec.json.format(msgspec.json.encode(full), indent=2) + b"\n")
    return path


def key_of(path: Path) -> PrivateKey:
    """The key in a file, made if the file is not there."""
    if not key_exists(path):
        save_key(path, PrivateKey(secrets.token_bytes(32)))
    return load_key(path)


def make_observer(home: Path, genesis: bytes, rpc_host: str = "127.0.0.1") -> str:
    """Make the home of a node that follows without a vote; its node key in hex."""
    genesis_from_json(genesis)
    at = Home(home)
    for folder in (at.path, at.keys, at.data, at.logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not at.config.exists():
        config = Config(worker_backend="none", rpc_host=rpc_host)
        at.config.write_text(render_config(config), encoding="utf-8")
    at.genesis.write_bytes(genesis)
    return key_of(at.keys / NODE_KEY).public.hex()


def make_trial(
    out: Path,
    chain_id: str,
    addresses: Sequence[str],
    params: Params | None = None,
    observers: int = 0,
) -> None:
    """Make every home of a trial network under one folder; does nothing if it is there."""
    genesis = out / "genesis.json"
    if genesis.exists():
        print(f"trial: {out} holds a network already")
        return
    cards: list[Path] = []
    for index, address in enumerate(addresses):
        card = Card(
            organisation=f"org-{index}",
            address=address,
            node_key="",
            validator_key="",
            weight=1,
            members=[],
        )
        cards.append(make_home(out / f"validator-{index}", card, accounts=out / "accounts"))
    write_genesis(genesis, chain_id, cards, params)
    text = genesis.read_bytes()
    watching = [
        make_observer(out / f"observer-{index}", text, rpc_host="0.0.0.0")  # noqa: S104
        for index in range(observers)
    ]
    for index, address in enumerate(addresses):
        home = Home(out / f"validator-{index}")
        home.genesis.write_bytes(text)
        _, port = parse_address(address)
        settings = Config(
            peer_host="0.0.0.0",  # noqa: S104 - a network of containers or namespaces
            peer_port=port,
            rpc_host="0.0.0.0",  # noqa: S104
            observer_keys=watching,
        )
        home.config.write_text(render_config(settings), encoding="utf-8")
    print(report(genesis_from_json(text)))


if __name__ == "__main__":
    sys.exit(main())
