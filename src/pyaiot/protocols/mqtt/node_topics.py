# SPDX-License-Identifier: BSD-3-Clause
"""The topics that MQTT nodes and their gateway speak on, and what is said there (PROTOCOLS 4).

A name stands in a topic only after `check_topic_name`: what a device says of itself never becomes
a wildcard, a further level, or bytes for which an MQTT broker ends the connection.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers

NAME_LENGTH_MAX: Final = 64
"""Characters of an id or of a resource in a topic."""
RESOURCES_MAX: Final = 256
"""Resources that a node may list. More are refused as a whole."""
CHECK_SIZE_MAX: Final = 1024
"""Bytes of what a node says on `node/check`."""
RESOURCES_SIZE_MAX: Final = 64 * 1024
"""Bytes of a node's list of resources."""
PAYLOAD_SIZE_MAX: Final = 72 * 1024
"""Bytes of a value with the JSON around it. The value itself is measured by whoever keeps it."""

GATEWAY_CHECK: Final = "gateway/check"
"""The gateway asks all nodes: who is there?"""
NODE_CHECK: Final = "node/check"
SUBSCRIPTIONS: Final = ("node/+", "node/+/+", "node/+/+/+/#")
"""What a gateway listens to. No two hold the same topic, or it would come twice (MQTT 3.1.1 section
3.3.5, overlapping subscriptions). The first holds `node/check`, the second what nodes publish; what
else comes is counted, so that a wrong topic is found.
"""
DISCOVER_RESOURCES: Final = b"resources"
DISCOVER_VALUES: Final = b"values"

QUANTITIES: Final = frozenset(
    {"temperature", "humidity", "pressure", "illuminance", "uvindex", "eco2", "tvoc", "tsp", "tlp"}
    | {"battery", "co2", "current", "energy", "pm10", "pm25", "power", "rssi", "voltage", "led"}
)
"""Names that tell an object of several resources from the value of one, such as a position."""

_FORBIDDEN: Final = frozenset("/+# ")
"""Level, wildcards; and the space, for which nats-server ends the connection of the publisher."""
_DETAIL_LENGTH_MAX: Final = 200
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PADDING: Final = b"\0 \t\r\n"
"""Some firmware sends its whole buffer, or the end of the string with it."""


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """A node says that it is there."""

    uid: str


@dataclass(frozen=True, slots=True)
class NodeResources:
    """A node says which resources it has."""

    uid: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeValue:
    """A node says what a resource is now: any JSON value."""

    uid: str
    resource: str
    value: Any


@dataclass(frozen=True, slots=True)
class NodeValues:
    """A node says in one message what several resources are now."""

    uid: str
    values: tuple[NodeValue, ...]


Publication: TypeAlias = NodeCheck | NodeResources | NodeValue | NodeValues


class _Check(msgspec.Struct, frozen=True):
    id: str


_check = msgspec.json.Decoder(_Check)
_any = msgspec.json.Decoder(Any)
_names = msgspec.json.Decoder(list[str])
_T = TypeVar("_T")


def check_topic_name(name: str, what: str) -> str:
    """A name that may stand as one level of a topic, returned. Raises `ProtocolError`."""
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise ProtocolError(f"a {what} in a topic has 1 to {NAME_LENGTH_MAX} printable characters")
    if not _FORBIDDEN.isdisjoint(name):
        raise ProtocolError(f"a {what} in a topic is without /, +, # and spaces")
    return name


def discover_topic(uid: str) -> str:
    """Where a node is asked for `resources` or `values`. Raises `ProtocolError`."""
    return f"gateway/{check_topic_name(uid, 'node id')}/discover"


def set_topic(uid: str, resource: str) -> str:
    """Where a node is told the new value of a resource. Raises `ProtocolError`."""
    uid = check_topic_name(uid, "node id")
    return f"gateway/{uid}/{check_topic_name(resource, 'resource')}/set"


def resources_topic(uid: str) -> str:
    """Where a node lists its resources. Raises `ProtocolError`."""
    return f"node/{check_topic_name(uid, 'node id')}/resources"


def value_topic(uid: str, resource: str) -> str:
    """Where a node tells the value of a resource. Raises `ProtocolError`."""
    uid = check_topic_name(uid, "node id")
    return f"node/{uid}/{check_topic_name(resource, 'resource')}"


def encode_check(uid: str) -> bytes:
    return msgspec.json.encode({"id": uid})


def encode_value(value: object) -> bytes:
    return msgspec.json.encode({"value": value})


def encode_resources(resources: list[str]) -> bytes:
    return msgspec.json.encode(resources)


def is_of_a_node(topic: str) -> str | None:
    """The id of the node on whose own topic something was published, whatever it was.

    None for `node/check` and other topics. Raises `ProtocolError` for an id that cannot be.
    """
    levels = topic.split("/")
    if len(levels) != 3 or levels[0] != "node":
        return None
    return check_topic_name(levels[1], "node id")


def parse_publication(topic: str, payload: bytes) -> Publication:
    """What a node said. Raises `ProtocolError`."""
    if topic == NODE_CHECK:
        uid = _decoded(_check, payload, CHECK_SIZE_MAX).id
        return NodeCheck(check_topic_name(uid, "node id"))
    node = is_of_a_node(topic)
    if node is None:
        raise ProtocolError("no topic of a node")
    resource = topic[len("node/") + len(node) + 1 :]
    if resource == "resources":
        names = _decoded(_names, payload, RESOURCES_SIZE_MAX)
        if len(names) > RESOURCES_MAX:
            raise ProtocolError(f"a node lists at most {RESOURCES_MAX} resources")
        return NodeResources(node, tuple(check_topic_name(name, "resource") for name in names))
    check_topic_name(resource, "resource")
    value = _read_value(payload)
    if not isinstance(value, dict):
        return NodeValue(node, resource, value)
    if "value" in value:
        return NodeValue(node, resource, value["value"])
    if not _is_several(value, resource):
        return NodeValue(node, resource, value)
    values = tuple(NodeValue(node, name, each) for name, each in value.items())
    return values[0] if len(values) == 1 else NodeValues(node, values)


def _read_value(payload: bytes) -> Any:
    """JSON, or plain text: much firmware publishes what it would print."""
    body = payload.removeprefix(_BYTE_ORDER_MARK).strip(_PADDING)
    try:
        return _decoded(_any, body, PAYLOAD_SIZE_MAX)
    except ProtocolError:
        # What begins like JSON was meant to be it.
        if not body or body[:1] in b'{["' or len(payload) > PAYLOAD_SIZE_MAX:
            raise
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("neither JSON nor UTF-8 text") from error
    if "\0" in text:
        raise ProtocolError("text has no zero bytes inside")
    return text


def _is_several(value: dict[str, Any], resource: str) -> bool:
    """Whether an object has values of resources, and is not the value of one."""
    if (resource not in value and QUANTITIES.isdisjoint(value)) or len(value) > RESOURCES_MAX:
        return False
    try:
        for name, each in value.items():
            check_topic_name(name, "resource")
            if isinstance(each, dict | list):
                return False
    except ProtocolError:
        return False
    return True


def _decoded(decoder: msgspec.json.Decoder[_T], payload: bytes, size_max: int) -> _T:
    if len(payload) > size_max:
        raise ProtocolError(f"at most {size_max} bytes are read there")
    body = payload.removeprefix(_BYTE_ORDER_MARK).strip(_PADDING)
    try:
        return decoder.decode(quote_long_integers(body))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(str(error)[:_DETAIL_LENGTH_MAX]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error
