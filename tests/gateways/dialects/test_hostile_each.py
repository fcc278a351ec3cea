# SPDX-License-Identifier: BSD-3-Clause
"""The same hostile inputs for every dialect of the list: a new one is in these tests by itself."""

import ast
import contextlib
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt import dialects
from pyaiot.gateways.mqtt.dialects import DIALECTS
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICES_MAX,
    RESOURCES_PER_DEVICE_MAX,
    DeviceMessage,
    DialectEvent,
    NotUnderstood,
    TopicsWanted,
)
from pyaiot.messages.checks import check_uid
from tests.gateways.dialects.reading import dialect_named
from tests.gateways.dialects.recordings import SPARKPLUG, Recording, metric, payload
from tests.gateways.dialects.test_hostile import FIRST_MESSAGES, RECORDINGS

ALL_RECORDINGS: Final[Mapping[str, Recording]] = {**RECORDINGS, "sparkplug": SPARKPLUG}
IDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tasmota": ("plug-1", "DC4F22AABBCC"),
    "zigbee2mqtt": ("hall_lamp", "kitchen/climate", "0x0017880102030405"),
    "shelly": ("shellyplug-s-7AB312",),
    "shelly-rpc": ("shellyplusplugs-a8032abe54dc",),
    "homie": ("kettle", "blind-1"),
    "sparkplug": ("plant", "line-1"),
    "homeassistant": ("garden", "garden-0042", "fan-7"),
}
"""Words of the recordings that devices and their owners choose."""
HOSTILE_IDS: Final = (
    *("+", "#", "a/+/b", "x/#", "\x00", "a\x00b", "\x1b[31m", "a\nb", "\u202eevil", "\ud800"),
    *("..", "../../etc/passwd", "$SYS/broker", "node/victim", "gateway/check", "node", " ", ""),
    *("{{ 7 * 7 }}", "{% for x in y %}", "%2F", "*", ">", "x" * 300, "-", "~", "."),
)


def devices_of(name: str, count: int) -> Recording:
    """Messages of `count` devices."""
    if name == "zigbee2mqtt":
        entries = [{"ieee_address": f"{n:x}", "friendly_name": f"d{n}"} for n in range(count)]
        return [("zigbee2mqtt/bridge/devices", json.dumps(entries).encode(), True)]
    topic, message = FIRST_MESSAGES[name]
    return [(topic.format(f"{number:06x}"), message, False) for number in range(count)]


RESOURCES: Final[Mapping[str, Callable[[], Recording]]] = {
    "tasmota": lambda: _texts(
        *(("tele/a/SENSOR", {f"e{m}-{n}": n for n in range(1_000)}) for m in range(10))
    ),
    "zigbee2mqtt": lambda: _texts(
        *(
            (
                "zigbee2mqtt/bridge/devices",
                [
                    {
                        "ieee_address": "a",
                        "friendly_name": "a",
                        "definition": {"exposes": [{"property": f"e{n}"} for n in range(2_000)]},
                    }
                ],
            ),
        )
    ),
    "shelly": lambda: _texts(*((f"shellies/a/sensor/e{n}", n) for n in range(10_000))),
    "shelly-rpc": lambda: _texts(
        *((f"shellyplus1-aabbcc/status/e:{n}", {f"v{m}": m for m in range(20)}) for n in range(500))
    ),
    "homie": lambda: _texts(
        ("homie/a/$state", "ready"),
        ("homie/a/$nodes", "n"),
        *(
            message
            for n in range(5_000)
            for message in ((f"homie/a/n/e{n}/$datatype", "integer"), (f"homie/a/n/e{n}", n))
        ),
    ),
    "sparkplug": lambda: [
        (
            "spBv1.0/g/NBIRTH/e",
            payload(0, *(metric(f"e{number}", 3, number) for number in range(first, first + 500))),
            False,
        )
        for first in range(0, 10_000, 500)
    ],
    "homeassistant": lambda: _texts(
        *(
            (f"homeassistant/sensor/e{n}/config", {"stat_t": f"d/{n}", "dev": {"ids": "d"}})
            for n in range(10_000)
        )
    ),
}
"""One device with up to 10,000 entities, as many as its messages have room for."""


def _texts(*messages: tuple[str, Any]) -> Recording:
    return [
        (topic, (value if isinstance(value, str) else json.dumps(value)).encode(), False)
        for topic, value in messages
    ]


def read(name: str, messages: Recording) -> tuple[Any, list[DialectEvent]]:
    """The dialect and its events. Messages may be refused, with `ProtocolError` only."""
    dialect = dialect_named(name)
    events: list[DialectEvent] = []
    for topic, message, retained in messages:
        with contextlib.suppress(ProtocolError):
            events += dialect.receive(topic, message, retained=retained, now=0.0) or ()
    return dialect, events


_OF_NO_DEVICE: Final = (TopicsWanted, DeviceMessage, NotUnderstood)


def uids_of(events: list[DialectEvent]) -> set[str]:
    return {event.uid for event in events if not isinstance(event, _OF_NO_DEVICE)}


def with_id(recording: Recording, words: tuple[str, ...], hostile: str) -> Recording:
    """The recording with a hostile word in the place of its ids, in topics and texts."""

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            for word in words:
                value = value.replace(word, hostile)
            return value
        if isinstance(value, list):
            return [replaced(each) for each in value]
        if isinstance(value, dict):
            return {replaced(key): replaced(each) for key, each in value.items()}
        return value

    changed: Recording = []
    for topic, message, retained in recording:
        try:
            text = json.dumps(replaced(json.loads(message))).encode()
        except ValueError:
            text = message
        # As the topic was, and with the word in it, which a broker would not deliver.
        changed += [(topic, text, retained), (replaced(topic), text, retained)]
    return changed


def test_every_dialect_of_the_list_has_hostile_inputs() -> None:
    assert set(DIALECTS) == set(ALL_RECORDINGS) == set(IDS) == set(RESOURCES)


@pytest.mark.parametrize("name", DIALECTS)
def test_ten_thousand_devices_are_limited(name: str) -> None:
    _, events = read(name, devices_of(name, 10_000))
    assert 0 < len(uids_of(events)) <= DEVICES_MAX


@pytest.mark.parametrize("name", DIALECTS)
def test_ten_thousand_entities_of_a_device_are_limited(name: str) -> None:
    dialect, events = read(name, RESOURCES[name]())
    (uid,) = uids_of(events)
    assert len(dialect.describe(uid).types) == RESOURCES_PER_DEVICE_MAX


@pytest.mark.parametrize("name", DIALECTS)
def test_no_id_of_a_device_reaches_another_topic(name: str) -> None:
    for hostile in HOSTILE_IDS:
        dialect, events = read(name, with_id(ALL_RECORDINGS[name], IDS[name], hostile))
        topics: list[str] = []
        for event in events:
            if isinstance(event, TopicsWanted):
                topics += event.topics
            elif isinstance(event, DeviceMessage):
                topics.append(event.topic)
        for uid in uids_of(events):
            check_uid(uid)
            assert uid.isascii()
            assert uid.isprintable()
            with contextlib.suppress(KeyError):
                for resource in dialect.describe(uid).types:
                    for text in ("on", "1", "open"):
                        with contextlib.suppress(ProtocolError):
                            topics.append(dialect.command(uid, resource, text).topic)
        for topic in topics:
            assert topic.isprintable(), (hostile, topic)
            assert not {"+", "#"} & set(topic), (hostile, topic)
            assert topic.partition("/")[0] not in {"node", "gateway", "", "$SYS"}, (hostile, topic)
            assert len(topic) < 600


def test_the_same_ids_in_two_dialects_are_different_uids() -> None:
    prefixes: dict[str, set[str]] = {}
    for name in DIALECTS:
        uids: set[str] = set()
        for word in ("aabbcc", "plug-1", *HOSTILE_IDS):
            uids |= uids_of(read(name, with_id(ALL_RECORDINGS[name], IDS[name], word))[1])
        prefixes[name] = {uid.partition("-")[0] for uid in uids}
        assert prefixes[name]
    for one, other in itertools.combinations(DIALECTS, 2):
        assert not prefixes[one] & prefixes[other], (one, other)


@pytest.mark.parametrize("name", DIALECTS)
def test_no_dialect_reads_messages_of_another(name: str) -> None:
    for other in set(DIALECTS) - {name}:
        dialect, _ = read(name, ALL_RECORDINGS[name])
        for topic, message, retained in ALL_RECORDINGS[other]:
            assert not dialect.receive(topic, message, retained=retained, now=1.0), (other, topic)


@pytest.mark.parametrize("name", DIALECTS)
def test_retained_messages_may_arrive_in_any_order(name: str) -> None:
    dialect, events = read(name, [it for it in ALL_RECORDINGS[name] if it[2]])
    again, reversed_events = read(name, [it for it in ALL_RECORDINGS[name] if it[2]][::-1])
    assert uids_of(events) == uids_of(reversed_events)
    for uid in uids_of(events):
        assert dialect.describe(uid) == again.describe(uid)


def test_no_text_of_a_device_can_become_a_program_or_a_file() -> None:
    """Templates cannot loop, call or read files: nothing in the dialects could run them."""
    used: set[str] = set()
    for path in Path(dialects.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                used.add(node.func.id)
    assert "json" in used
    assert "open" not in used
    assert not used & {"eval", "exec", "compile", "__import__", "globals", "vars"}
    assert not used & {"jinja2", "os", "io", "pathlib", "subprocess", "importlib", "socket"}
