"""The generated store is a chain that a node accepts, and a second run goes on where it is."""

from pathlib import Path

from andon.core.certificate import check_certificate
from node.home import check_home, open_home
from scripts.bench.generated_store import NODE, generate


def test_a_generated_store_is_sound_and_certified(tmp_path: Path) -> None:
    home = tmp_path / "net"
    generate(home, 30, 5)
    generate(home, 40, 5)
    assert check_home(home / NODE).startswith("sound: height 40, 9 transactions")
    with open_home(home / NODE) as opened, opened.store.snapshot() as snapshot:
        validators = snapshot.validators(0)
        assert validators is not None
        for height in range(1, 41):
            final, header = snapshot.certificate(height), snapshot.header(height)
            block = snapshot.block(height)
            assert final is not None
            assert header is not None
            assert block is not None
            check_certificate(opened.genesis.chain_id, validators, final)
            if height > 1:
                parent = block.justification.parent_certificate
                assert parent is not None
                check_certificate(opened.genesis.chain_id, validators, parent)
        assert opened.signer is not None
        assert opened.signer.votes() == ()
