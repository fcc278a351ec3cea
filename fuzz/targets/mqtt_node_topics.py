# SPDX-License-Identifier: BSD-3-Clause
"""Publications of MQTT nodes: a topic, a zero byte (which is not valid in topics), the payload."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.node_topics import (
    NodeCheck,
    NodeValue,
    NodeValues,
    discover_topic,
    encode_check,
    encode_value,
    parse_publication,
    set_topic,
    value_topic,
)

CORPUS: list[bytes] = [
    b"",
    b'node/check\0{"id":"fipy-1"}',
    b'node/check\0{"id": "#"}',
    b'node/check\0{"id":"a/b"}',
    b'node/check\0{"id":"\\ud800"}',
    b'node/fipy-1/resources\0["led","temperature"]',
    'node/fipy-1/temperature\0{"value":"23.5°C"}'.encode(),
    b'node/fipy-1/imu\0{"value":[{"type":"acc","values":[1,2,3]}]}',
    b'node/fipy-1/n\0{"value":1e999}',
    b"node/fipy-1/n\0" + b'{"value":' + b"[" * 2000,
    b"node/+/#\0{}",
    "node/a/x\0\ufeff21.5 °C\r\n".encode(),
    b'node/a/x\0{"temperature":21.5,"humidity":40}',
    b"node/a/x\x009007199254740993",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; an accepted name is one plain level of a topic."""
    head, _, payload = data.partition(b"\0")
    topic = head.decode(errors="surrogateescape")
    try:
        publication = parse_publication(topic, payload)
    except ProtocolError:
        return
    assert not set("/+# \0") & set(publication.uid)
    assert discover_topic(publication.uid).count("/") == 2
    match publication:
        case NodeCheck(uid=uid):
            assert parse_publication("node/check", encode_check(uid)) == publication
        case NodeValue() | NodeValues():
            for value in (
                publication.values if isinstance(publication, NodeValues) else (publication,)
            ):
                assert set_topic(value.uid, value.resource).count("/") == 3
                own_topic = value_topic(value.uid, value.resource)
                with contextlib.suppress(RecursionError):
                    assert parse_publication(own_topic, encode_value(value.value)) == value
