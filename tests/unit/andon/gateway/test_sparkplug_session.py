"""Sparkplug sessions: aliases, sequence numbers, deaths, rebirths, and all of it after a crash."""

import pytest

from andon.gateway.reading import BAD, Arrival, Stray
from andon.gateway.sparkplug import PayloadMessage
from andon.gateway.sparkplug_session import (
    SparkplugDecoder,
    rebirth_payload,
    rebirth_topic,
)

INT16, FLOAT, STRING = 2, 9, 12


def metric(name: str = "", **fields: object) -> dict[str, object]:
    return ({"name": name} if name else {}) | fields


def payload(*metrics: dict[str, object], seq: int | None = None, time_ms: int = 1000) -> bytes:
    message = PayloadMessage(timestamp=time_ms)
    if seq is not None:
        message.seq = seq
    for fields in metrics:
        quality = fields.pop("quality", None)
        added = message.metrics.add(**fields)
        if quality is not None:
            added.properties.keys.append("Quality")
            added.properties.values.add(type=3, int_value=quality)
    return message.SerializeToString()


class Plant:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.decoder = SparkplugDecoder(
            "{group}.{node}.{device}", "c", lambda *node: self.asked.append(node)
        )

    def see(self, kind: str, data: bytes, device: str = "") -> list[tuple[str, int, dict]]:
        topic = f"spBv1.0/hall/{kind}/edge" + (f"/{device}" if device else "")
        found = self.decoder.decode(Arrival(0, topic, data, 5000))
        return [(item.machine, item.time_ms, item.values) for item in found]

    def born(self) -> None:
        self.see("NBIRTH", payload(metric("bdSeq", datatype=8, long_value=3), seq=0))
        names = (metric("temp", alias=1, datatype=FLOAT, float_value=20.5),)
        names += (metric("level", alias=2, datatype=INT16, int_value=0xFFFE),)
        names += (metric("mode", alias=3, datatype=STRING, string_value="auto"),)
        found = self.see("DBIRTH", payload(*names, seq=1), "press")
        assert found == [("hall.edge.press", 1000, {"temp": 20.5, "level": -2.0})]


def test_data_by_alias_follows_a_birth() -> None:
    plant = Plant()
    plant.born()
    data = payload(
        metric(alias=1, float_value=21.5, timestamp=900), metric(alias=2, is_null=True), seq=2
    )
    assert plant.see("DDATA", data, "press") == [
        ("hall.edge.press", 900, {"temp": 21.5}),
        ("hall.edge.press", 1000, {"level": None}),
    ]
    assert plant.asked == []


def test_a_gap_in_the_sequence_asks_for_a_rebirth_and_loses_no_data() -> None:
    plant = Plant()
    plant.born()
    assert plant.see("DDATA", payload(metric(alias=1, float_value=1.0), seq=7), "press")
    assert plant.asked == [("hall", "edge")]
    assert plant.decoder.gaps == 1
    plant.see("DDATA", payload(metric(alias=1, float_value=1.0), seq=8), "press")
    assert plant.decoder.gaps == 1


def test_the_sequence_wraps_at_256() -> None:
    plant = Plant()
    plant.born()
    for number in range(2, 600):
        plant.see("DDATA", payload(metric(alias=1, float_value=1.0), seq=number % 256), "press")
    assert plant.decoder.gaps == 0


def test_data_before_a_birth_is_kept_as_stray_and_asks_for_a_rebirth() -> None:
    plant = Plant()
    with pytest.raises(Stray, match="before a birth"):
        plant.see("DDATA", payload(metric(alias=1, float_value=1.0), seq=0), "press")
    assert ("hall", "edge") in plant.asked


def test_a_death_ends_the_session_but_the_will_of_an_older_one_does_not() -> None:
    plant = Plant()
    plant.born()
    assert plant.see("NDEATH", payload(metric("bdSeq", datatype=8, long_value=2))) == []
    assert plant.see("DDATA", payload(metric(alias=1, float_value=1.0), seq=2), "press")
    plant.see("NDEATH", payload(metric("bdSeq", datatype=8, long_value=3)))
    with pytest.raises(Stray):
        plant.see("DDATA", payload(metric(alias=1, float_value=1.0), seq=3), "press")


def test_a_session_survives_the_process() -> None:
    plant, after = Plant(), Plant()
    plant.born()
    after.decoder.restore(plant.decoder.take_notes())
    data = payload(metric(alias=1, float_value=3.0), seq=2)
    assert after.see("DDATA", data, "press") == [("hall.edge.press", 1000, {"temp": 3.0})]
    assert after.asked == []


def test_quality_of_a_metric_is_kept() -> None:
    plant = Plant()
    plant.born()
    data = payload(metric(alias=1, float_value=3.0, quality=0), seq=2)
    topic = "spBv1.0/hall/DDATA/edge/press"
    (sample,) = plant.decoder.decode(Arrival(0, topic, data, 5000))
    assert sample.quality == BAD


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("spBv1.0/hall/DDATA/edge/press", b"\xff\xff"),
        ("spBv1.0/hall/WHAT/edge", b""),
        ("spBv1.0/hall/NDATA/edge/press", b""),
        ("plant/press/readings", b"{}"),
    ],
)
def test_what_is_not_sparkplug_is_stray(topic: str, data: bytes) -> None:
    with pytest.raises(Stray):
        Plant().decoder.decode(Arrival(0, topic, data, 0))


def test_a_rebirth_command_is_a_boolean_metric() -> None:
    assert rebirth_topic("hall", "edge") == "spBv1.0/hall/NCMD/edge"
    (found,) = PayloadMessage.FromString(rebirth_payload(7)).metrics
    assert (found.name, found.datatype, found.boolean_value) == ("Node Control/Rebirth", 11, True)


def test_field_numbers_are_those_of_the_specification() -> None:
    # Bytes as Eclipse Tahu's generated code writes them: timestamp 1, metrics 2, seq 3;
    # name 1, alias 2, datatype 4, int_value 10, string_value 15.
    message = PayloadMessage(timestamp=1, seq=5)
    message.metrics.add(name="a", alias=2, datatype=3, int_value=4)
    message.metrics.add(string_value="x")
    assert message.SerializeToString().hex() == "080112090a016110022003500412037a01781805"
