"""The door of the RPC: keys, roles, certificates, and what never needs a key."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from andon.client import AsyncClient
from andon.client.credentials import Credentials
from andon.core.errors import Code, InvalidInput
from node.rpc import RpcServer, RpcSettings
from node.rpc.access import Access, ApiKey, load_keys, server_tls
from node.rpc.revoked import Revoked, load_revoked
from node.testing.memory_node import MemoryNode
from tests.unit.node.rpc.test_server import signed

READER, WRITER, SCRAPER = "reader-key", "writer-key", "scraper-key"


def api_key(secret: str, *roles: str) -> ApiKey:
    return ApiKey(secret, hashlib.sha256(secret.encode()).hexdigest(), list(roles))


KEYS = (
    api_key(READER, "read"),
    api_key(WRITER, "read", "submit"),
    api_key(SCRAPER, "metrics"),
)


@asynccontextmanager
async def serving(settings: RpcSettings) -> AsyncIterator[str]:
    async with RpcServer(MemoryNode(), settings) as server:
        yield server.url


async def status_of(url: str, verb: str, path: str, key: str = "", body: bytes = b"") -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession() as http,
        http.request(verb, url + path, headers=headers, data=body or None) as answer,
    ):
        return answer.status


RPC_STATUS = b'{"jsonrpc":"2.0","id":1,"method":"status","params":{}}'


async def test_each_role_opens_its_doors_and_no_other() -> None:
    submit = b'{"raw":"0x' + signed().hex().encode() + b'"}'
    doors = {
        ("GET", "/v1/status", b""): {READER, WRITER},
        ("GET", "/v1/blocks/0/raw", b""): {READER, WRITER},
        ("GET", "/openapi.json", b""): {READER, WRITER},
        ("POST", "/v1/tx", submit): {WRITER},
        ("PUT", "/v1/blob", b"blob"): {WRITER},
        ("GET", "/metrics", b""): {SCRAPER},
    }
    async with serving(RpcSettings(access=Access(KEYS))) as url:
        for (verb, path, body), allowed in doors.items():
            assert await status_of(url, verb, path, "", body) == 401, path
            assert await status_of(url, verb, path, "guess", body) == 401, path
            for key in (READER, WRITER, SCRAPER):
                status = await status_of(url, verb, path, key, body)
                expected = {200, 404} if key in allowed else {403}
                assert status in expected, (path, key, status)
        assert await status_of(url, "GET", "/health/live") == 200


async def test_json_rpc_asks_for_the_role_of_its_method() -> None:
    async with serving(RpcSettings(access=Access(KEYS))) as url, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {READER}"}
        async with http.post(url + "/rpc", data=RPC_STATUS, headers=headers) as answer:
            assert "result" in await answer.json()
        submit = b'{"jsonrpc":"2.0","id":1,"method":"submit","params":{"raw":"0x00"}}'
        async with http.post(url + "/rpc", data=submit, headers=headers) as answer:
            assert (await answer.json())["error"]["name"] == "ROLE_DENIED"


async def test_a_client_that_stored_its_hour_of_blobs_is_refused_alone() -> None:
    other = api_key("other-writer", "submit")
    settings = RpcSettings(access=Access((*KEYS, other)), upload_mib_per_hour=1)
    async with serving(settings) as url, aiohttp.ClientSession() as http:
        for number in range(2):
            body = bytes([number]) * (768 * 1024)
            assert await status_of(url, "PUT", "/v1/blob", WRITER, body) == 200
        headers = {"Authorization": f"Bearer {WRITER}"}
        for verb, path, body in (
            ("PUT", "/v1/blob", b"more"),
            ("PUT", "/v1/blob/0x" + 64 * "0", b"more"),
            ("POST", "/v1/blob", b'{"blob":"0x00"}'),
        ):
            async with http.request(verb, url + path, headers=headers, data=body) as answer:
                problem = await answer.json()
                assert (answer.status, problem["title"]) == (503, "BLOB_QUOTA"), path
                assert 0 < int(answer.headers["Retry-After"]) <= 1800
                assert problem["data"]["retry_ms"] <= 1800 * 1000
                assert "blobs_mib_per_client_hour" in problem["data"]["hint"]
        assert await status_of(url, "GET", "/v1/status", WRITER) == 200
        assert await status_of(url, "PUT", "/v1/blob", "other-writer", b"more") == 200


async def test_without_keys_an_address_is_the_client() -> None:
    async with serving(RpcSettings(upload_mib_per_hour=1)) as url:
        for number, status in enumerate((200, 200, 503)):
            body = bytes([number]) * (768 * 1024)
            assert await status_of(url, "PUT", "/v1/blob", "", body) == status


async def test_a_browser_is_asked_for_a_password_which_is_the_key() -> None:
    async with serving(RpcSettings(access=Access(KEYS))) as url, aiohttp.ClientSession() as http:
        async with http.get(url + "/v1/status") as answer:
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
        basic = base64.b64encode(f"anybody:{READER}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        async with http.get(url + "/v1/status", headers=headers) as answer:
            assert answer.status == 200
        async with http.get(url + "/v1/status", headers={"Authorization": "Basic ?"}) as answer:
            assert answer.status == 401


async def test_the_sdk_sends_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text(READER + "\n")
    path.chmod(0o600)
    async with serving(RpcSettings(access=Access(KEYS))) as url:
        async with AsyncClient(url) as stranger:
            with pytest.raises(InvalidInput) as refused:
                await stranger.status()
            assert refused.value.code is Code.UNAUTHENTICATED
        monkeypatch.setenv("ANDON_API_KEY_FILE", str(path))
        async with AsyncClient(url) as client:
            assert int((await client.status()).height) >= 0
    assert READER not in repr(Credentials(api_key=READER))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[key]]\nname = 'a'\nsha256 = 'zz'\nroles = ['read']",
        "[[key]]\nname = 'a'\nsha256 = '00'\nroles = ['read']",
        f"[[key]]\nname = 'a'\nsha256 = '{'00' * 32}'\nroles = ['admin']",
        f"[[key]]\nname = 'a'\nsha256 = '{'00' * 32}'\nroles = []\nsecret = 'x'",
        f"[[key]]\nname = 'a'\nsha256 = '{'00' * 32}'\nroles = []\n" * 2,
    ],
)
def test_a_bad_list_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidInput) as error:
        load_keys(path)
    assert error.value.code is Code.BAD_CONFIG


def test_a_list_of_keys_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f"[[key]]\nname = 'a'\nsha256 = '{'00' * 32}'\nroles = ['read']")
    path.chmod(0o644)
    with pytest.raises(InvalidInput) as error:
        load_keys(path)
    assert error.value.code is Code.BAD_KEY
    path.chmod(0o600)
    assert load_keys(path)[0].roles == ["read"]


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
        self.certificate = self._sign(self.name, self.key, is_ca=True)
        self.path = self._write("ca", self.certificate, None)

    def issue(self, name: str) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._write(name, self._sign(subject, key, is_ca=False), key)
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            # Since Python 3.13 certificates are checked strictly: without these they are refused.
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(_usage(is_ca=is_ca), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        return builder.sign(self.key, hashes.SHA256())

    def _write(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None
    ) -> str:
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        if key is not None:
            (self.folder / f"{name}.key").write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return str(path)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    none = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=is_ca, crl_sign=is_ca, **none)


async def test_a_client_certificate_opens_the_door_and_none_does_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    settings = RpcSettings(
        access=Access(has_client_ca=True), tls=server_tls(*server, authority.path)
    )
    async with serving(settings) as url:
        assert url.startswith("https://")
        known = Credentials(
            ca_file=authority.path, certificate_file=client[0], certificate_key_file=client[1]
        )
        async with AsyncClient(url, credentials=known) as friend:
            assert int((await friend.status()).height) >= 0
        async with AsyncClient(url, credentials=Credentials(ca_file=authority.path)) as stranger:
            with pytest.raises(InvalidInput) as refused:
                await stranger.status()
            assert refused.value.code is Code.UNAUTHENTICATED


def facts(path: str) -> tuple[str, str]:
    """Fingerprint and serial number of a certificate, as openssl prints them."""
    found = x509.load_pem_x509_certificate(Path(path).read_bytes())
    digits = found.fingerprint(hashes.SHA256()).hex().upper()
    fingerprint = ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
    return fingerprint, f"{found.serial_number:040X}"


@pytest.mark.parametrize("by", ["fingerprint", "serial"])
async def test_a_revoked_certificate_opens_no_door_and_others_still_do(
    tmp_path: Path, by: str
) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server")
    stolen, kept = authority.issue("stolen"), authority.issue("kept")
    access = Access(has_client_ca=True)
    settings = RpcSettings(access=access, tls=server_tls(*server, authority.path))
    listed = tmp_path / "revoked"
    listed.write_text(f"# lost in June\n{facts(stolen[0])[by == 'serial']}  # press 4\n\n")

    def client(files: tuple[str, str]) -> AsyncClient:
        known = Credentials(
            ca_file=authority.path, certificate_file=files[0], certificate_key_file=files[1]
        )
        return AsyncClient(rpc.url, credentials=known)

    async with (
        RpcServer(MemoryNode(), settings) as rpc,
        client(stolen) as thief,
        client(kept) as friend,
    ):
        await thief.status()
        await friend.status()
        assert rpc._runner is not None
        assert rpc._runner.server is not None
        assert len(rpc._runner.server.connections) == 2
        rpc.renew((), load_revoked(listed))
        await friend.status()  # its connection goes on
        assert len(rpc._runner.server.connections) == 1
        with pytest.raises(InvalidInput) as refused:
            await thief.status()
        assert refused.value.code is Code.UNAUTHENTICATED
        rpc.renew((), Revoked())
        await thief.status()


def test_connections_of_revoked_certificates_end_on_the_loop_that_nodes_run_on(
    tmp_path: Path,
) -> None:
    uvloop.run(
        test_a_revoked_certificate_opens_no_door_and_others_still_do(tmp_path, "fingerprint")
    )


async def test_a_key_that_is_taken_out_opens_no_door_from_the_next_request_on() -> None:
    async with RpcServer(MemoryNode(), RpcSettings(access=Access(KEYS))) as rpc:
        assert await status_of(rpc.url, "GET", "/v1/status", READER) == 200
        rpc.renew(KEYS[1:], Revoked())
        assert await status_of(rpc.url, "GET", "/v1/status", READER) == 401
        assert await status_of(rpc.url, "GET", "/v1/status", WRITER) == 200
        rpc.renew((), Revoked())  # an empty list locks the door, it does not take it out
        assert await status_of(rpc.url, "GET", "/v1/status", "") == 401


@pytest.mark.parametrize(
    "text", ["zz", "0x12", "ab cd", "1" * 41, "1" * 63, "1" * 65, "\n" * 10_001]
)
def test_a_list_that_names_no_certificates_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "revoked"
    path.write_text(text)
    with pytest.raises(InvalidInput) as error:
        load_revoked(path)
    assert error.value.code is Code.BAD_CONFIG
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInput):
        load_revoked(path)
    with pytest.raises(InvalidInput):
        load_revoked(tmp_path / "none")


def test_tls_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no certificate")
    with pytest.raises(InvalidInput) as error:
        server_tls(str(tmp_path / "x"), str(tmp_path / "x"), "")
    assert error.value.code is Code.BAD_CONFIG
    assert server_tls("", "", "") is None
    with pytest.raises(InvalidInput):
        Credentials(ca_file=str(tmp_path / "x")).tls()
