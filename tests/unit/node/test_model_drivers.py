"""The key for sealed inputs."""

from andon.core.keys import PrivateKey
from node.model_drivers import sealing_seed


def test_the_sealing_key_is_made_from_the_node_key_and_is_another() -> None:
    first, second = PrivateKey(b"1" * 32), PrivateKey(b"2" * 32)
    assert sealing_seed(first) == sealing_seed(PrivateKey(b"1" * 32))
    assert len({sealing_seed(first), sealing_seed(second), first.seed, second.seed}) == 4
    assert len(sealing_seed(first)) == 32
