from pathlib import Path

import pytest

from andon.core.errors import Code, InvalidInput
from andon.core.keys import PrivateKey
from node.config import (
    Config,
    Home,
    load_config,
    observer_keys,
    override_addresses,
    parse_config,
    render_config,
)

KEY = PrivateKey(bytes(32)).public.hex()


def test_a_rendered_configuration_reads_back_equal() -> None:
    config = Config(
        peer_port=7,
        log_level="debug",
        sync_verify="execute",
        observer_keys=[KEY],
        peer_addresses={"ab" * 32: "127.0.0.1:9"},
    )
    assert parse_config(render_config(config)) == config
    assert observer_keys(config) == [bytes.fromhex(KEY)]
    assert override_addresses(config) == {b"\xab" * 32: "127.0.0.1:9"}


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_config("") == Config()


@pytest.mark.parametrize(
    "text",
    [
        "peer_prot = 1",
        "peer_port = 70000",
        "peer_port = 'x'",
        "worker_backend = 'abacus'",
        "log_level = 'loud'",
        "sync_verify = 'nothing'",
        "observer_keys = ['00']",
        "mempool_count_max = 0",
        "rpc_client_ca = 'x'",
        "rpc_revoked_file = 'x'",
        "[peer_addresses]\nzz = '127.0.0.1:1'",
        "[peer_addresses]\nab = 'nowhere'",
        "= broken",
    ],
)
def test_bad_configurations_are_refused_with_a_code(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_config(text)
    assert error.value.code is Code.BAD_CONFIG


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        load_config(Home(tmp_path))
    assert error.value.code is Code.BAD_CONFIG
    assert error.value.hint


@pytest.mark.parametrize(
    "text",
    [
        'signer = "cloud"',
        'signer = "socket"',
        'signer = "pkcs11"\npkcs11_module = "m"\npkcs11_token = "t"\npkcs11_label = "l"',
    ],
)
def test_a_signer_needs_all_that_names_it(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_config(text)
    assert error.value.code is Code.BAD_CONFIG
    assert parse_config('signer = "socket"\nsigner_socket = "/run/s"').signer_socket == "/run/s"


@pytest.mark.parametrize(
    "line",
    [
        'rpc_hosts = [""]',
        'rpc_hosts = ["node:443"]',
        'rpc_hosts = ["https://node"]',
        'rpc_origins = ["node"]',
        'rpc_origins = ["https://node/"]',
        'rpc_origins = ["file://"]',
    ],
)
def test_names_and_sites_that_no_browser_sends_are_refused(line: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_config(line)
    assert error.value.code is Code.BAD_CONFIG
