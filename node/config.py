"""The node's `config.toml`: flat keys with defaults, unknown keys refused.

Peers are not configured: they come from the identity state. `peer_addresses` replaces registered
addresses by node key (hex), for tunnels and chaos proxies.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from andon.core.block import PROTOCOLS
from andon.core.errors import Code, InvalidInput
from andon.core.keys import check_public_key
from andon.core.worker import BACKENDS
from node.net.peers import parse_address

CONFIG_FILE = "config.toml"
GENESIS_FILE = "genesis.json"
CONFIG_BYTES_MAX = 256 * 1024
SIGNERS = ("file", "pkcs11", "socket")
_SIGNER_NEEDS = {
    "socket": ("signer_socket",),
    "pkcs11": ("pkcs11_module", "pkcs11_token", "pkcs11_label", "pkcs11_pin_file"),
}
NO_BACKEND = "none"
WORKERS = (NO_BACKEND, *BACKENDS)
_POSITIVE = (
    "protocol_max",
    "storage_map_mib",
    "mempool_count_max",
    "mempool_bytes_max",
    "rpc_rate_per_s",
    "rpc_streams_max",
    "rpc_call_gas_per_s",
)
_NOT_NEGATIVE = (
    "snapshot_every_blocks",
    "snapshots_kept",
    "keep_blocks",
    "halt_at_height",
    "worker_memory_mib",
    "blobs_mib",
    "blobs_mib_per_client_hour",
    "blobs_unreferenced_days",
    "scrub_values_per_s",
)
ADOPT = "roots"
SYNC_VERIFY = (ADOPT, "execute")
LEVELS = ("debug", "info", "warning", "error")
_PORT_MAX = 65535


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of one node; units stand in the names."""

    peer_host: str = "127.0.0.1"
    peer_port: int = 26656
    rpc_host: str = "127.0.0.1"
    rpc_port: int = 26657
    rpc_rate_per_s: int = 4000
    rpc_streams_max: int = 1024
    """Event streams and WebSockets at a time; each costs about 50 KB and a file descriptor."""
    rpc_call_gas_per_s: int = 100_000_000
    """Gas a second of read-only calls from one address: a fifth of a second of one core."""
    rpc_hosts: list[str] = []
    """Names, without port, by which clients ask; an RPC on loopback answers to its own as well."""
    rpc_origins: list[str] = []
    """Sites (`https://name:port`) whose pages may open a WebSocket or write, beside our own."""
    rpc_keys_file: str = ""
    """API keys with roles; without it, everybody who reaches the port may do everything."""
    rpc_tls_cert: str = ""
    rpc_tls_key: str = ""
    rpc_client_ca: str = ""
    rpc_revoked_file: str = ""
    """Certificates of that authority that count no more, by fingerprint or serial number."""
    signer: str = "file"
    """Where the validator key is: `file`, `pkcs11` (a module), `socket` (a process of its own)."""
    signer_socket: str = ""
    pkcs11_module: str = ""
    pkcs11_token: str = ""
    pkcs11_label: str = ""
    pkcs11_pin_file: str = ""
    worker_backend: str = "cpu"
    worker_memory_mib: int = 4096
    """What a worker on a CPU may take; 0 for no cap. Beyond it loads and predictions fail."""
    worker_fault: str = "none"
    """A chaos tool: `wrong-output` makes this node's worker lie."""
    clock_skew_ms: int = 0
    """A chaos tool: how far this node's wall clock is off."""
    storage_delay_ms: int = 0
    """A chaos tool: how much longer every commit takes."""
    protocol_max: int = max(PROTOCOLS)
    """A chaos tool: be an older release, which knows no later protocol."""
    log_level: str = "info"
    storage_map_mib: int = 4096
    blobs_mib: int = 32_768
    """What users may store as blobs on this node; 0 for no end."""
    blobs_mib_per_client_hour: int = 8192
    """What one API key, certificate or address may store of that in an hour; 0 for no end."""
    blobs_unreferenced_days: int = 30
    """Remove blobs that nothing on the chain names after so long; 0 for never."""
    state_sync: bool = False
    """Begin an empty chain from a peer's snapshot instead of from block 1."""
    sync_verify: str = ADOPT
    """While catching up: `roots` takes over what a quorum certified, `execute` does it all anew."""
    snapshot_every_blocks: int = 5000
    """Write a snapshot at every multiple of this height; 0 for never."""
    snapshots_kept: int = 2
    keep_blocks: int = 0
    """Forget what blocks did that are further down than this; 0 keeps all (an archive node)."""
    halt_at_height: int = 0
    scrub_values_per_s: int = 500
    """How fast the store is read in search of rot, once an hour at most; 0 for never."""
    mempool_count_max: int = 20_000
    mempool_bytes_max: int = 64 * 1024 * 1024
    prediction_cache_max: int = 200_000
    observer_keys: list[str] = []
    """Node keys (hex) that may link here without being in the registry: they follow, no more."""
    peer_addresses: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one node lie."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings."""
        return self.path / CONFIG_FILE

    @property
    def genesis(self) -> Path:
        """The network's genesis document."""
        return self.path / GENESIS_FILE

    @property
    def keys(self) -> Path:
        """Folder of private keys, 0700."""
        return self.path / "keys"

    @property
    def data(self) -> Path:
        """Folder of LMDB and blobs."""
        return self.path / "data"

    @property
    def suspect(self) -> Path:
        """There when the last process ended over damage: the store is checked before it is used."""
        return self.path / "suspect"

    @property
    def crash(self) -> Path:
        """What the handler of crashes wrote (`node.crashes`); empty in good times."""
        return self.path / "crash"

    @property
    def snapshots(self) -> Path:
        """Folder of portable states."""
        return self.data / "snapshots"

    @property
    def logs(self) -> Path:
        """Folder of logs."""
        return self.path / "logs"

    @property
    def sign_state(self) -> Path:
        """What the validator key has signed last; never copy or restore it alone."""
        return self.path / "sign_state"

    @property
    def chain_mark(self) -> Path:
        """How far the chain once was: outside of `data`, so that a store put back is noticed."""
        return self.path / "chain_mark"

    @property
    def votes_mark(self) -> Path:
        """The same of what consensus remembers."""
        return self.path / "votes_mark"


def parse_config(text: str) -> Config:
    """Parse and check a configuration.

    Raises:
        InvalidInput: BAD_CONFIG with the key that is wrong.
    """
    if len(text) > CONFIG_BYTES_MAX:
        raise InvalidInput(Code.BAD_CONFIG, f"configuration exceeds {CONFIG_BYTES_MAX} bytes")
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{CONFIG_FILE}: {error}", hint="docs/operator.md lists every key"
        ) from None
    for name in ("peer_port", "rpc_port"):
        if not 0 <= getattr(config, name) <= _PORT_MAX:
            raise InvalidInput(Code.BAD_CONFIG, f"{name} is outside 0..{_PORT_MAX}")
    choices = (
        ("worker_backend", WORKERS),
        ("log_level", LEVELS),
        ("signer", SIGNERS),
        ("sync_verify", SYNC_VERIFY),
    )
    for name, allowed in choices:
        if getattr(config, name) not in allowed:
            raise InvalidInput(Code.BAD_CONFIG, f"{name} is none of {', '.join(allowed)}")
    for name in _POSITIVE:
        if getattr(config, name) < 1:
            raise InvalidInput(Code.BAD_CONFIG, f"{name} must be at least 1")
    for name in _SIGNER_NEEDS.get(config.signer, ()):
        if not getattr(config, name):
            raise InvalidInput(Code.BAD_CONFIG, f"signer = {config.signer!r} needs {name}")
    if bool(config.rpc_tls_cert) != bool(config.rpc_tls_key):
        raise InvalidInput(Code.BAD_CONFIG, "rpc_tls_cert and rpc_tls_key come together")
    if config.rpc_client_ca and not config.rpc_tls_cert:
        raise InvalidInput(Code.BAD_CONFIG, "rpc_client_ca needs rpc_tls_cert")
    if config.rpc_revoked_file and not config.rpc_client_ca:
        raise InvalidInput(Code.BAD_CONFIG, "rpc_revoked_file needs rpc_client_ca")
    for name in _NOT_NEGATIVE:
        if getattr(config, name) < 0:
            raise InvalidInput(Code.BAD_CONFIG, f"{name} must not be negative")
    _check_sites(config)
    override_addresses(config)
    observer_keys(config)
    return config


def _check_sites(config: Config) -> None:
    for name in config.rpc_hosts:
        if not name or set(name) & set("/@ []") or name.count(":") == 1:
            raise InvalidInput(
                Code.BAD_CONFIG, f"rpc_hosts: {name!r} is no name", hint="write it without a port"
            )
    for site in config.rpc_origins:
        scheme, _, rest = site.partition("://")
        if scheme not in ("http", "https") or not rest or "/" in rest:
            raise InvalidInput(
                Code.BAD_CONFIG, f"rpc_origins: {site!r} is no site", hint="https://name:port"
            )


def observer_keys(config: Config) -> list[bytes]:
    """Node keys of admitted observers.

    Raises:
        InvalidInput: BAD_CONFIG for what is no key.
    """
    keys: list[bytes] = []
    for text in config.observer_keys:
        try:
            keys.append(check_public_key(bytes.fromhex(text)))
        except (ValueError, InvalidInput):
            raise InvalidInput(Code.BAD_CONFIG, f"observer_keys: {text!r} is no key") from None
    return keys


def override_addresses(config: Config) -> dict[bytes, str]:
    """The address overrides by node key.

    Raises:
        InvalidInput: BAD_CONFIG for a bad key or address.
    """
    addresses: dict[bytes, str] = {}
    for key, address in config.peer_addresses.items():
        parse_address(address)
        try:
            addresses[bytes.fromhex(key)] = address
        except ValueError:
            raise InvalidInput(Code.BAD_CONFIG, f"peer_addresses: {key!r} is not hex") from None
    return addresses


def render_config(config: Config) -> str:
    """Write a configuration as TOML that `parse_config` reads back equal."""
    lines: list[str] = []
    for name in Config.__struct_fields__:
        value = getattr(config, name)
        if isinstance(value, str):
            lines.append(f"{name} = {_quoted(value)}")
        elif isinstance(value, bool):
            lines.append(f"{name} = {str(value).lower()}")
        elif isinstance(value, int):
            lines.append(f"{name} = {value}")
        elif isinstance(value, list):
            lines.append(f"{name} = [{', '.join(_quoted(item) for item in value)}]")
    if config.peer_addresses:
        lines += ["", "[peer_addresses]"]
        lines += [f"{_quoted(key)} = {_quoted(at)}" for key, at in config.peer_addresses.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string for all that occurs here.
    return msgspec.json.encode(text).decode()


def load_config(home: Home) -> Config:
    """Read the home's configuration.

    Raises:
        InvalidInput: BAD_CONFIG, also if the file is missing.
    """
    try:
        return parse_config(home.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            Code.BAD_CONFIG,
            f"cannot read {home.config}: {error}",
            hint="make a home with `andon up`, or see docs/operator.md",
        ) from None
