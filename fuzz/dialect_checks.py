# SPDX-License-Identifier: BSD-3-Clause
"""Checks that all fuzz targets of MQTT dialects share.

An input is messages: topic, a zero byte, payload; a record separator between two. The first byte of
a message is `R` if it is retained.
"""

import contextlib
from collections.abc import Iterable

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects import new_dialects
from pyaiot.gateways.mqtt.dialects.dialect import (
    RESOURCE_LENGTH_MAX,
    RESOURCES_PER_DEVICE_MAX,
    CommandRefused,
    DeviceChanged,
    DeviceMessage,
    DeviceValue,
    Dialect,
    DialectEvent,
    TopicsWanted,
)
from pyaiot.messages.checks import check_name, check_uid
from pyaiot.model import check_type
from pyaiot.model.topic_mapping import TopicMapping

SEPARATOR = b"\x1e"
MESSAGES_MAX = 20
MAPPINGS = (
    TopicMapping(topic="sensors/{node}/{resource}", units={"t": "°F"}, command="{topic}/set"),
    TopicMapping(topic="json/{node}", payload="json", command="do/{node}/{resource}"),
    TopicMapping(topic="paths/{node}", payload="json", fields={"t": "$.a[0].b"}),
    TopicMapping(topic="csv/{node}", payload="csv", columns=("", "t", "h")),
)
VALUES = ("on", "5", "", "#ff0000", "{}", "a")


def fuzz_dialects(names: Iterable[str], data: bytes) -> None:
    """Invalid messages raise `ProtocolError`. Names are valid, and topics have no wildcard."""
    dialects = new_dialects(names, lambda: 0.0, MAPPINGS)
    for message in data.split(SEPARATOR)[:MESSAGES_MAX]:
        head, _, payload = message.partition(b"\0")
        topic = head[1:].decode(errors="replace")
        for dialect in dialects:
            with contextlib.suppress(ProtocolError):
                events = dialect.receive(topic, payload, retained=head[:1] == b"R", now=0.0)
                for event in events or ():
                    check_event(dialect, event)


def check_event(dialect: Dialect, event: DialectEvent) -> None:
    match event:
        case DeviceChanged(uid=uid):
            check_uid(uid)
            with contextlib.suppress(KeyError):  # it was removed by a later event
                check_description(dialect, uid)
        case DeviceValue(uid=uid, resource=resource):
            check_uid(uid)
            check_name(resource, "resource")
        case TopicsWanted(topics=topics):
            for topic in topics:
                assert not {"+", "#"} & set(topic)
                assert not topic.startswith(("node/", "gateway/", "$"))
        case CommandRefused(uid=uid, why=why):
            check_uid(uid)
            assert why.isprintable()
        case DeviceMessage(topic=topic):
            assert not {"+", "#"} & set(topic)


def check_description(dialect: Dialect, uid: str) -> None:
    description = dialect.describe(uid)
    assert len(description.types) <= RESOURCES_PER_DEVICE_MAX
    for resource, it in description.types.items():
        assert len(resource) <= RESOURCE_LENGTH_MAX
        check_type(it)
        for value in VALUES:
            with contextlib.suppress(ProtocolError):
                check_event(dialect, dialect.command(uid, resource, value))
    assert all(text.isprintable() for text in description.details.values())
