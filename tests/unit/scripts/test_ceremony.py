"""A network is founded from cards, and what does not fit is refused before the first block."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from andon.core.genesis import genesis_from_json, genesis_hash
from node.config import Home, load_config
from node.keystore import NODE_KEY, VALIDATOR_KEY, load_key
from scripts import ceremony


def found(tmp_path: Path, name: str, *more: str, address: str = "") -> Path:
    home = tmp_path / name
    arguments = ["home", "--home", str(home), "--organisation", name]
    arguments += ["--address", address or f"{name}.example:26656"]
    assert ceremony.main([*arguments, "--accounts", str(tmp_path / "accounts"), *more]) == 0
    return home / ceremony.CARD_FILE


def join(tmp_path: Path, *cards: Path, out: str = "genesis.json") -> int:
    arguments = ["genesis", "--chain-id", "line-1", "--out", str(tmp_path / out)]
    return ceremony.main([*arguments, *map(str, cards)])


def test_card_says_public_things_and_the_home_is_private(tmp_path: Path) -> None:
    card = found(tmp_path, "acme")
    home = Home(tmp_path / "acme")
    key = load_key(home.keys / VALIDATOR_KEY)
    text = card.read_text(encoding="utf-8")
    assert json.loads(text)["validator_key"] == key.public.hex()
    assert key.seed.hex() not in text
    assert stat.S_IMODE(home.keys.stat().st_mode) == 0o700
    assert load_config(home).peer_port == 26656
    assert load_config(home).rpc_host == "127.0.0.1"


def test_making_a_home_again_keeps_its_keys(tmp_path: Path) -> None:
    first = json.loads(found(tmp_path, "acme").read_text(encoding="utf-8"))
    again = json.loads(
        found(tmp_path, "acme", address="other.example:1").read_text(encoding="utf-8")
    )
    assert again == {**first, "address": "other.example:1"}


def test_genesis_does_not_depend_on_the_order_of_cards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_790_000_000_000_000_000)
    cards = [found(tmp_path, name) for name in ("acme", "brakes", "castings", "drives")]
    assert join(tmp_path, *cards) == 0
    assert join(tmp_path, *reversed(cards), out="again.json") == 0
    genesis = genesis_from_json((tmp_path / "genesis.json").read_bytes())
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "genesis.json").read_bytes()
    printed = capsys.readouterr().out
    assert genesis_hash(genesis).hex() in printed
    assert "quorum     3 of weight 4" in printed
    assert all(f"{name}.example:26656" in printed for name in ("acme", "brakes", "castings"))


def test_check_prints_the_hash_that_others_read_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert join(tmp_path, found(tmp_path, "acme")) == 0
    made = capsys.readouterr().out
    assert ceremony.main(["check", str(tmp_path / "genesis.json")]) == 0
    checked = capsys.readouterr().out
    assert checked in made
    assert checked.startswith("chain id   line-1\nhash       ")


def test_genesis_file_is_never_overwritten(tmp_path: Path) -> None:
    card = found(tmp_path, "acme")
    assert join(tmp_path, card) == 0
    before = (tmp_path / "genesis.json").read_bytes()
    assert join(tmp_path, card) == 1
    assert (tmp_path / "genesis.json").read_bytes() == before


@pytest.mark.parametrize("field", ["organisation", "address", "node_key", "validator_key"])
def test_two_cards_must_not_share_what_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    first, second = found(tmp_path, "acme"), found(tmp_path, "brakes")
    content = json.loads(second.read_text(encoding="utf-8"))
    content[field] = json.loads(first.read_text(encoding="utf-8"))[field]
    second.write_text(json.dumps(content), encoding="utf-8")
    assert join(tmp_path, first, second) == 1
    assert f"two cards have the same {field}" in capsys.readouterr().err
    assert not (tmp_path / "genesis.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": []}, "nobody could ever change anything"),
        ({"node_key": "zz"}, "is not a key in hex"),
        ({"validator_key": "00" * 32}, "BAD_KEY"),
        ({"address": "no-port"}, "is not host:port"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_card_that_does_not_hold_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    message: str,
) -> None:
    card = found(tmp_path, "acme")
    content = {**json.loads(card.read_text(encoding="utf-8")), **change}
    card.write_text(json.dumps(content), encoding="utf-8")
    assert join(tmp_path, card) == 1
    assert message in capsys.readouterr().err


def test_members_made_elsewhere_come_with_their_public_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ceremony.key_of(tmp_path / "operator.key")
    card = found(tmp_path, "acme", "--member", f"0x{key.public.hex()}:operator,modeler")
    members = json.loads(card.read_text(encoding="utf-8"))["members"]
    assert {"public": f"0x{key.public.hex()}", "roles": ["operator", "modeler"]} in members
    assert join(tmp_path, card) == 0
    assert key.public.hex() in capsys.readouterr().out


def current(tmp_path: Path, *names: str) -> Path:
    """The set of a running network, as the command line prints it."""
    entries = []
    for name in names:
        card = json.loads(found(tmp_path, name).read_text(encoding="utf-8"))
        keys = {
            field: {"$bytes": "0x" + card[source]}
            for field, source in (("key", "validator_key"), ("node_key", "node_key"))
        }
        entries.append({**keys, "org": name, "weight": 1, "address": card["address"]})
    path = tmp_path / "current.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def propose(capsys: pytest.CaptureFixture[str], file: Path, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    arguments = ["validators", "--current", str(file), "--height", "90", *more]
    assert ceremony.main(arguments) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_validators_are_added_and_removed_by_a_proposal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = current(tmp_path, "acme", "brakes", "castings", "drives")
    new = found(tmp_path, "engines")
    arguments = propose(capsys, file, "--add", str(new), "--remove", "brakes")
    assert arguments["height"] == 90
    entries = arguments["validators"]
    assert sorted(entry["org"] for entry in entries) == ["acme", "castings", "drives", "engines"]
    keys = [entry["key"]["$bytes"] for entry in entries]
    assert keys == sorted(keys)
    card = json.loads(new.read_text(encoding="utf-8"))
    assert "0x" + card["validator_key"] in keys


def test_card_of_a_present_organisation_replaces_its_validator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = current(tmp_path, "acme", "brakes")
    moved = found(tmp_path, "acme", address="elsewhere.example:26656")
    entries = propose(capsys, file, "--add", str(moved))["validators"]
    assert {entry["org"]: entry["address"] for entry in entries} == {
        "acme": "elsewhere.example:26656",
        "brakes": "brakes.example:26656",
    }


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--remove", "nobody"], "nobody has no validator"),
        (["--remove", "acme"], "nobody would be left"),
    ],
)
def test_proposals_that_cannot_be_meant_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    file = current(tmp_path, "acme")
    assert ceremony.main(["validators", "--current", str(file), "--height", "9", *more]) == 1
    assert message in capsys.readouterr().err


def test_trial_makes_all_homes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["trial", "--out", str(tmp_path / "net")]
    for index in range(4):
        arguments += ["--address", f"validator-{index}:26656"]
    assert ceremony.main(arguments) == 0
    genesis = (tmp_path / "net" / "genesis.json").read_bytes()
    for index in range(4):
        home = Home(tmp_path / "net" / f"validator-{index}")
        assert home.genesis.read_bytes() == genesis
        assert load_config(home).rpc_host == "0.0.0.0"
    capsys.readouterr()
    assert ceremony.main(arguments) == 0
    assert "holds a network already" in capsys.readouterr().out
    assert (tmp_path / "net" / "genesis.json").read_bytes() == genesis


def test_observers_of_a_trial_are_admitted_by_every_validator(tmp_path: Path) -> None:
    arguments = ["trial", "--out", str(tmp_path / "net"), "--observers", "1"]
    for index in range(2):
        arguments += ["--address", f"validator-{index}:26656"]
    assert ceremony.main(arguments) == 0
    observer = Home(tmp_path / "net" / "observer-0")
    key = load_key(observer.keys / NODE_KEY).public.hex()
    assert not (observer.keys / VALIDATOR_KEY).exists()
    assert load_config(observer).worker_backend == "none"
    for index in range(2):
        home = Home(tmp_path / "net" / f"validator-{index}")
        assert load_config(home).observer_keys == [key]
        assert home.genesis.read_bytes() == observer.genesis.read_bytes()


def test_observer_needs_a_sound_genesis_and_keeps_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert join(tmp_path, found(tmp_path, "acme")) == 0
    arguments = ["observer", "--home", str(tmp_path / "view")]
    capsys.readouterr()
    printed = []
    for _ in range(2):
        assert ceremony.main([*arguments, "--genesis", str(tmp_path / "genesis.json")]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    assert ceremony.main([*arguments, "--genesis", str(tmp_path / "bad.json")]) == 1
