from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from andon.core.errors import Code, InvalidInput
from andon.gateway.config import MqttTable, Tls
from andon.gateway.mqtt import MqttSource, read_secret
from andon.gateway.reading import Arrival
from andon.gateway.tls import cut_off, fault_of, refusal
from andon.gateway.watch import Watch, part_of


class Acknowledged:
    """In the place of a connection: what would have been told to the broker."""

    def __init__(self) -> None:
        self.packets: list[int] = []

    def ack(self, packet: int, _qos: int) -> None:
        self.packets.append(packet)


class Nowhere:
    """A memory of no session."""

    def is_known(self, _client_id: str) -> bool:
        return False

    def remember(self, _client_id: str) -> None:
        pass


def opened(folder: Path) -> tuple[MqttSource, Acknowledged, Watch]:
    watch = Watch(lambda: 1)
    source = MqttSource(
        MqttTable(client_id="g"), 0, lambda _: None, lambda: 1,
        folder=folder, watch=watch, sessions=Nowhere(),
    )  # fmt: skip
    told = Acknowledged()
    source._client = told
    return source, told, watch


def arrival(session: int, packet: int) -> Arrival:
    return Arrival(0, "t", b"", 1, (session << 16) + packet)


def test_a_packet_is_acknowledged_on_its_own_connection_alone(tmp_path: Path) -> None:
    source, told, _ = opened(tmp_path)
    source._on_pre_connect(None, None)
    source.acknowledge([arrival(1, 7), Arrival(0, "t", b"", 1)])
    # The next connection has begun and the broker has not answered yet: its packet 8 is another.
    source._on_pre_connect(None, None)
    source.acknowledge([arrival(1, 8), arrival(2, 9)])
    assert told.packets == [7, 9]


def test_the_reason_of_a_refusal_outlives_the_end_of_the_connection(tmp_path: Path) -> None:
    source, _, watch = opened(tmp_path)
    source._on_pre_connect(None, None)
    refused = ReasonCode(PacketTypes.CONNACK, "Bad user name or password")
    source._on_connect(None, None, None, refused, None)
    lost = ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")
    source._on_disconnect(None, None, None, lost, None)
    (found,) = [item for item in watch.standings() if item.part == part_of("g")]
    assert found.reason.startswith("BROKER_REFUSED")
    assert "password_file" in found.reason


def test_secrets_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("s3cret\n")
    assert read_secret("pass", tmp_path) == "s3cret"
    assert read_secret("", tmp_path) is None
    with pytest.raises(InvalidInput) as found:
        read_secret("absent", tmp_path)
    assert found.value.code is Code.BAD_CONFIG


def test_every_fault_has_a_code_and_says_what_to_do() -> None:
    plain, secure = MqttTable(client_id="g"), MqttTable(client_id="g", tls=Tls(certificate="a"))
    denied = ReasonCode(PacketTypes.SUBACK, identifier=0x87)
    for error, code in (
        (cut_off(plain), Code.BROKER_REFUSED),
        (cut_off(secure), Code.BROKER_REFUSED),
        (refusal(denied, plain, "the topic t"), Code.BROKER_REFUSED),
        (fault_of(ConnectionRefusedError(111, "Connection refused"), plain), Code.UNREACHABLE),
    ):
        assert error.code is code
        assert error.hint
        assert "127.0.0.1:1883" in error.message
