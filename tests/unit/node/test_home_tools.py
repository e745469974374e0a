"""Snapshots and replay on the homes of stopped nodes, as the verbs call them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lmdb
import pytest

from andon.core.errors import Code, Corrupt, InvalidInput, Misuse
from andon.core.genesis import genesis_to_json
from node.config import Config, Home, render_config
from node.home import check_home, note_damage, open_home
from node.home_tools import create_snapshot, list_snapshots, replay_home, restore_snapshot
from node.keystore import NODE_KEY, VALIDATOR_KEY, save_key
from node.signer import SignStateFile
from node.storage import ChainStore
from node.storage.high_water import HighWater, Mark
from node.testing.lab import CertifiedChain
from scripts.home_tools import main


def make_home(path: Path, chain: CertifiedChain) -> Home:
    home = Home(path)
    for folder in (home.path, home.data, home.logs):
        folder.mkdir(parents=True)
    save_key(home.keys / NODE_KEY, chain.admin)
    save_key(home.keys / VALIDATOR_KEY, chain.keys[0])
    home.genesis.write_bytes(genesis_to_json(chain.genesis))
    home.config.write_text(render_config(Config(storage_map_mib=64)))
    return home


@pytest.fixture
def filled(tmp_path: Path) -> tuple[CertifiedChain, Home]:
    chain = CertifiedChain()
    home = make_home(tmp_path / "old", chain)
    SignStateFile(home.sign_state, may_create=True).close()
    store = ChainStore(home.data / "chain", 64 * 1024 * 1024)
    chain.open(store)
    store.append([chain.extend(chain.write(5)) for _ in range(4)])
    store.close()
    return chain, home


def test_a_snapshot_restores_into_an_empty_home_and_closes_the_slots_below(
    tmp_path: Path, filled: tuple[CertifiedChain, Home]
) -> None:
    chain, home = filled
    height, folder = create_snapshot(home.path)
    assert height == 4
    ((listed, size),) = list_snapshots(home.path)
    assert listed == 4
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    new = make_home(tmp_path / "new", chain)
    assert restore_snapshot(new.path, folder) == 4
    with SignStateFile(new.sign_state, may_create=False) as signs:
        assert signs.state.position == (0, chain.parent.header.slot)
    assert create_snapshot(new.path)[0] == 4
    with pytest.raises(Misuse):
        restore_snapshot(new.path, folder)
    assert replay_home(home.path).height == 4


def test_what_is_no_snapshot_or_of_another_network_is_refused(
    tmp_path: Path, filled: tuple[CertifiedChain, Home]
) -> None:
    _, home = filled
    _, folder = create_snapshot(home.path)
    stranger = make_home(tmp_path / "other", CertifiedChain("another"))
    with pytest.raises(InvalidInput) as caught:
        restore_snapshot(stranger.path, folder)
    assert caught.value.code is Code.WRONG_CHAIN
    with pytest.raises(InvalidInput) as caught:
        restore_snapshot(stranger.path, tmp_path)
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(InvalidInput):
        create_snapshot(make_home(tmp_path / "empty", CertifiedChain()).path)


def test_the_script_prints_what_it_did(
    filled: tuple[CertifiedChain, Home], capsys: pytest.CaptureFixture[str]
) -> None:
    _, home = filled
    assert main(["list", "--home", str(home.path)]) == 0
    assert capsys.readouterr().out == "no snapshots\n"
    assert main(["create", "--home", str(home.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["height"] == 4
    assert main(["replay", "--home", str(home.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transactions"] == 4
    assert main(["restore", "--home", str(home.path), "--source", str(home.path)]) == 1


def test_an_older_chain_under_a_newer_home_is_refused_and_a_restored_snapshot_is_not(
    tmp_path: Path, filled: tuple[CertifiedChain, Home]
) -> None:
    chain, home = filled
    _, folder = create_snapshot(home.path)
    shutil.copytree(home.data / "chain", tmp_path / "backup")
    with open_home(home.path) as opened:
        opened.store.append([chain.extend(chain.write(1))])
        assert opened.signer is not None
        opened.signer.advance(0, chain.parent.header.slot + 1)  # votes beyond the chain are legal
    with open_home(home.path) as opened:
        assert opened.store.head_height() == 5
    shutil.rmtree(home.data / "chain")
    shutil.copytree(tmp_path / "backup", home.data / "chain")
    with pytest.raises(Corrupt) as caught:
        check_home(home.path)
    assert caught.value.code is Code.STORAGE_DAMAGED
    shutil.rmtree(home.data / "chain")
    assert restore_snapshot(home.path, folder) == 4
    assert "height 4" in check_home(home.path)


def rot(home: Home) -> None:
    """Spoil one entry of the state of a stopped node."""
    with lmdb.open(str(home.data / "chain"), map_size=64 * 1024 * 1024, max_dbs=20) as raw:
        database = raw.open_db(b"state")
        with raw.begin(write=True, db=database) as transaction, transaction.cursor() as cursor:
            assert cursor.last()
            cursor.put(bytes(cursor.key()), b"rot" + bytes(cursor.value())[3:])


def test_a_store_that_was_taken_away_is_begun_anew_though_it_was_under_suspicion(
    filled: tuple[CertifiedChain, Home],
) -> None:
    home = filled[1]
    mark = HighWater(home.chain_mark)
    mark.write(Mark(3, filled[0].parent.hash))
    mark.close()
    note_damage(home.path)  # as a refused start leaves it, over a missing sign state too
    shutil.rmtree(home.data)
    home.data.mkdir(mode=0o700)
    with open_home(home.path) as opened:
        assert opened.store.is_empty()
    assert not home.suspect.exists()


def test_a_store_that_is_under_suspicion_is_checked_and_a_bad_one_set_aside_once(
    filled: tuple[CertifiedChain, Home], capsys: pytest.CaptureFixture[str]
) -> None:
    chain, home = filled
    aside = home.data / "chain.damaged"
    note_damage(home.path)
    with open_home(home.path) as opened:
        assert not opened.store.is_empty()
    assert not home.suspect.exists()
    assert not aside.exists()

    rot(home)
    note_damage(home.path)
    with open_home(home.path) as opened:
        assert opened.store.is_empty()
        chain.open(opened.store)
    assert aside.exists()
    assert not home.suspect.exists()
    assert "set aside" in capsys.readouterr().err

    rot(home)
    note_damage(home.path)
    with pytest.raises(Corrupt) as caught, open_home(home.path):
        pass
    assert caught.value.code is Code.STORAGE_DAMAGED
    assert home.suspect.exists()


def test_votes_that_rotted_or_were_cut_short_are_named_at_every_start(
    filled: tuple[CertifiedChain, Home],
) -> None:
    _, home = filled
    with open_home(home.path) as opened:
        for number in range(40):
            opened.votes.save(b"certificate/%d" % number, bytes([number]) * 3000)
    data = home.data / "consensus" / "log.0"
    whole = data.read_bytes()
    middle = bytearray(whole)
    middle[whole.index(bytes([20]) * 3000) + 7] ^= 1
    for content in (bytes(middle), whole[: len(whole) // 2]):
        data.write_bytes(content)
        note_damage(home.path)
        for _ in range(2):
            with (
                pytest.raises(Corrupt, match="remembers is damaged") as caught,
                open_home(home.path),
            ):
                pass
            assert "leave keys/, sign_state" in caught.value.hint
    data.write_bytes(whole)
    with open_home(home.path) as opened:
        assert len(opened.votes.load()) == 40
    assert not home.suspect.exists()


def test_a_backend_named_at_the_start_stands_in_the_place_of_the_configured_one(
    filled: tuple[CertifiedChain, Home],
) -> None:
    _, home = filled
    with open_home(home.path, "gpu") as opened:
        assert opened.config.worker_backend == "gpu"
        assert opened.config.storage_map_mib == 64
    with open_home(home.path) as opened:
        assert opened.config.worker_backend == Config().worker_backend
