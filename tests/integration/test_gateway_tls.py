"""The gateway and a real Mosquitto over TLS, with certificates made on the spot."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from andon.core.errors import AndonError, Code, InvalidInput
from andon.gateway.config import MqttTable, Tls
from andon.gateway.mqtt import MqttSource, check_broker, make_client
from andon.gateway.reading import Arrival
from andon.gateway.tls import BrokerTls
from andon.gateway.watch import Watch, part_of
from node.testing.authority import Authority, Issued
from node.testing.broker import Broker, find_mosquitto

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
    ),
]
HOSTS = ("127.0.0.1", "broker.plant")


class Memory:
    """Sessions that a test remembers."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def is_known(self, client_id: str) -> bool:
        return client_id in self.known

    def remember(self, client_id: str) -> None:
        self.known.add(client_id)


@asynccontextmanager
async def broker_with(
    folder: Path, shown: Issued, *, clients: Issued | None = None
) -> AsyncIterator[Broker]:
    """A broker that shows a certificate, and asks its clients for one of an authority."""
    listener = f"certfile {shown.certificate}\nkeyfile {shown.key}\n"
    if clients is not None:
        listener += f"cafile {clients.certificate}\nrequire_certificate true\n"
        listener += "use_identity_as_username true\n"
    else:
        listener += "allow_anonymous true\n"
    async with Broker(folder / "broker", 131, listener) as broker:
        yield broker


def table(broker: Broker, **tls: str) -> MqttTable:
    return MqttTable(port=broker.port, client_id="g", tls=Tls(**tls))


async def fault(found: MqttTable, folder: Path) -> AndonError | None:
    """What a check says; None if the broker took us."""
    try:
        await asyncio.to_thread(check_broker, found, folder)
    except AndonError as error:
        return error
    return None


async def test_a_broker_is_known_by_issuer_and_name(tmp_path: Path) -> None:
    plant, other = Authority(tmp_path / "a"), Authority(tmp_path / "b", "other")
    async with broker_with(tmp_path, plant.issue("broker", HOSTS)) as broker:
        assert await fault(table(broker, ca="a/plant-root.crt"), tmp_path) is None
        named = table(broker, ca="a/plant-root.crt", server_name="broker.plant")
        assert await fault(named, tmp_path) is None
        for refused, words in (
            (table(broker, ca=str(other.root.certificate)), "tls.ca"),
            (table(broker), "tls.ca"),
            (table(broker, ca="a/plant-root.crt", server_name="elsewhere"), "tls.server_name"),
        ):
            found = await fault(refused, tmp_path)
            assert isinstance(found, InvalidInput)
            assert found.code is Code.BROKER_UNTRUSTED
            assert words in found.hint


async def test_a_certificate_out_of_date_is_refused(tmp_path: Path) -> None:
    plant = Authority(tmp_path)
    old = plant.issue("broker", HOSTS, valid=-dt.timedelta(days=1))
    async with broker_with(tmp_path, old) as broker:
        found = await fault(table(broker, ca="plant-root.crt"), tmp_path)
    assert found is not None
    assert found.code is Code.BROKER_UNTRUSTED
    assert "renew" in found.hint


async def test_a_pinned_certificate_needs_no_authority_and_no_other_passes(tmp_path: Path) -> None:
    plant = Authority(tmp_path)
    shown, other = plant.issue("broker", ("elsewhere",)), plant.issue("second", HOSTS)
    colons = ":".join(shown.fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
    async with broker_with(tmp_path, shown) as broker:
        assert await fault(table(broker, fingerprint=colons), tmp_path) is None
        wrong = await fault(table(broker, fingerprint=other.fingerprint), tmp_path)
        # With an authority both have to hold: the pin is right, the name is not.
        both = table(broker, fingerprint=shown.fingerprint, ca="plant-root.crt")
        named = await fault(both, tmp_path)
    assert wrong is not None
    assert wrong.code is Code.BROKER_UNTRUSTED
    assert shown.fingerprint in wrong.message
    assert named is not None
    assert "tls.server_name" in named.hint


async def test_a_broker_that_wants_a_client_certificate_gets_ours(tmp_path: Path) -> None:
    plant, other = Authority(tmp_path), Authority(tmp_path / "b", "other")
    ours, strange = plant.issue("gateway"), other.issue("gateway")
    shown = plant.issue("broker", HOSTS)
    ca = "plant-root.crt"
    async with broker_with(tmp_path, shown, clients=plant.root) as broker:
        good = table(broker, ca=ca, certificate="gateway.crt", key_file=str(ours.key))
        assert await fault(good, tmp_path) is None
        without = await fault(table(broker, ca=ca), tmp_path)
        wrong = await fault(
            table(broker, ca=ca, certificate=str(strange.certificate), key_file=str(strange.key)),
            tmp_path,
        )
        plain = await fault(MqttTable(port=broker.port, client_id="g"), tmp_path)
    for found, hint in ((without, "tls.certificate"), (wrong, "certificate"), (plain, "mqtt.tls")):
        assert found is not None
        assert found.code is Code.BROKER_REFUSED
        assert hint in found.hint


async def test_a_running_gateway_says_why_it_refuses_a_broker_and_takes_it_when_it_is_right(
    tmp_path: Path,
) -> None:
    plant, other = Authority(tmp_path / "a"), Authority(tmp_path / "b", "other")
    right, wrong = plant.issue("broker", HOSTS), other.issue("broker", HOSTS)
    watch, memory, came = Watch(lambda: 1), Memory(), asyncio.Queue[Arrival]()
    loop = asyncio.get_running_loop()

    def receive(arrival: Arrival) -> None:
        loop.call_soon_threadsafe(came.put_nowait, arrival)

    async def until(words: str) -> None:
        async with asyncio.timeout(60):
            while True:
                found = next(i for i in watch.standings() if i.part == part_of("g"))
                if words in found.reason if words else found.works:
                    return
                await asyncio.sleep(0.05)

    async with broker_with(tmp_path, wrong) as broker:
        mqtt = table(broker, ca="a/plant-root.crt")
        source = MqttSource(
            mqtt, 0, receive, lambda: 5, folder=tmp_path, watch=watch, sessions=memory
        )
        source.start()
        try:
            await until("BROKER_UNTRUSTED")
            await broker.kill()
            wrong.certificate.write_bytes(right.certificate.read_bytes())
            wrong.key.write_bytes(right.key.read_bytes())
            await broker.start()
            await until("")
            client = make_client(mqtt, "plant", tmp_path)
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            client.publish("plant/press-1/readings", b"{}", qos=1)
            assert (await asyncio.wait_for(came.get(), 30)).payload == b"{}"
            client.disconnect()
            client.loop_stop()
        finally:
            source.stop()
    assert memory.known == {"g"}


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"ca": "absent.crt"}, "absent.crt"),
        ({"ca": "broker.key"}, "broker.key"),
        ({"ca": "plant-root.crt", "certificate": "a.crt", "key_file": "broker.key"}, "a.crt"),
        ({"ca": "plant-root.crt", "key_file": "broker.key"}, "tls.certificate"),
        ({"fingerprint": "12:34"}, "fingerprint"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, tls: dict[str, str], words: str
) -> None:
    plant = Authority(tmp_path)
    plant.issue("broker", HOSTS)
    plant.issue("a")
    with pytest.raises(InvalidInput) as found:
        BrokerTls(Tls(**tls), "127.0.0.1", tmp_path)
    assert found.value.code is Code.BAD_CONFIG
    assert words in found.value.message
