# SPDX-License-Identifier: BSD-3-Clause
"""Topics and payloads between MQTT nodes and their gateway (legacy protocol, section 4). Pure.

Each name passes `check_topic_name` before it becomes part of a topic: text from a device never
becomes a wildcard, another level, or bytes for which an MQTT broker ends the connection.
"""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers

NAME_LENGTH_MAX: Final = 64
"""Longest node id and resource name in a topic, in characters. A longer one is refused."""
RESOURCES_MAX: Final = 256
"""Resources in the list of a node. A longer list is refused as a whole."""
CHECK_SIZE_MAX: Final = 1024
"""Bytes of a payload on `node/check`. More is refused."""
RESOURCES_SIZE_MAX: Final = 64 * 1024
"""Bytes of the list of resources of a node. More is refused."""
PAYLOAD_SIZE_MAX: Final = 72 * 1024
"""Bytes of a payload with values. More is refused. The gateway limits the value itself."""

GATEWAY_CHECK: Final = "gateway/check"
"""The gateway publishes here; every node that is online answers on `NODE_CHECK`."""
NODE_CHECK: Final = "node/check"
SUBSCRIPTIONS: Final = ("node/+", "node/+/+", "node/+/+/+/#")
"""The topic filters of a gateway. No two match the same topic, or its messages would arrive twice
(MQTT 3.1.1 section 3.3.5, overlapping subscriptions). The first matches `node/check`, the second
resources and values; messages on other topics are counted, so that a wrong topic is found.
"""
SUBSCRIPTIONS_OF_EACH: Final = ("node/+", "node/+/+", "node/+/+/+")
"""The same for gateways that share the nodes. Publications of nodes arrive on topics of their
shares, except those that a client sends before the MQTT broker has accepted it: nats-server maps
topics only from then on. All of these gateways receive these publications, and the one that serves
the node processes them."""
DISCOVER_RESOURCES: Final = b"resources"
DISCOVER_VALUES: Final = b"values"

QUANTITIES: Final = frozenset(
    {"temperature", "humidity", "pressure", "illuminance", "uvindex", "eco2", "tvoc", "tsp", "tlp"}
    | {"battery", "co2", "current", "energy", "pm10", "pm25", "power", "rssi", "voltage", "led"}
)
"""An object with one of these names holds several resources; others are one value, such as a
position."""

_FORBIDDEN: Final = frozenset("/+# ")
"""Level separator, wildcards, and the space: nats-server ends a connection that publishes one."""
_DETAIL_LENGTH_MAX: Final = 200
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PADDING: Final = b"\0 \t\r\n"
"""Bytes that some firmware appends: its whole buffer, or the terminating zero of the string."""


class NodeCheck(msgspec.Struct, frozen=True):
    """A node is online: the payload of `node/check`."""

    uid: str


class NodeResources(msgspec.Struct, frozen=True):
    """The list of resources of a node."""

    uid: str
    resources: tuple[str, ...]


class NodeValue(msgspec.Struct, frozen=True):
    """The value of one resource: any JSON value."""

    uid: str
    resource: str
    value: Any


class NodeValues(msgspec.Struct, frozen=True):
    """The values of several resources, in one message."""

    uid: str
    values: tuple[NodeValue, ...]


Publication: TypeAlias = NodeCheck | NodeResources | NodeValue | NodeValues


class _Check(msgspec.Struct, frozen=True):
    id: str | Annotated[int, msgspec.Meta(ge=0)]
    """A number is converted to its digits: some firmware sends the number of its chip."""


class _PlainValue(msgspec.Struct, frozen=True, gc=False):
    value: Any


NO_VALUE: Final = object()
"""What `value_in` returns for a payload of another form."""
_LONG_INTEGER_SIZE: Final = len('{"value":') + 16 + len("}")
"""Bytes of a payload that may have an integer of 16 digits, which needs more than decoding."""

_check = msgspec.json.Decoder(_Check)
_any = msgspec.json.Decoder(Any)
_plain_value = msgspec.json.Decoder(_PlainValue)
_names = msgspec.json.Decoder(list[str])
_T = TypeVar("_T")


def check_topic_name(name: str, what: str) -> str:
    """Return the name if it can be one level of a topic, else raise `ProtocolError`.

    `what` names it in the error: "node id", "resource".
    """
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise ProtocolError(
            f"a {what} in a topic must have 1 to {NAME_LENGTH_MAX} printable characters"
        )
    if not _FORBIDDEN.isdisjoint(name):
        raise ProtocolError(f"a {what} in a topic must not contain /, +, # or spaces")
    return name


def discover_topic(uid: str) -> str:
    """The topic on which a node receives `resources` or `values`. Raises `ProtocolError`."""
    return f"gateway/{check_topic_name(uid, 'node id')}/discover"


def set_topic(uid: str, resource: str) -> str:
    """The topic on which a node receives a new value of a resource. Raises `ProtocolError`."""
    uid = check_topic_name(uid, "node id")
    return f"gateway/{uid}/{check_topic_name(resource, 'resource')}/set"


def resources_topic(uid: str) -> str:
    """The topic on which a node publishes its resources. Raises `ProtocolError`."""
    return f"node/{check_topic_name(uid, 'node id')}/resources"


def value_topic(uid: str, resource: str) -> str:
    """The topic on which a node publishes a value. Raises `ProtocolError`."""
    uid = check_topic_name(uid, "node id")
    return f"node/{uid}/{check_topic_name(resource, 'resource')}"


def encode_check(uid: str) -> bytes:
    return msgspec.json.encode({"id": uid})


def encode_value(value: object) -> bytes:
    return msgspec.json.encode({"value": value})


def encode_resources(resources: list[str]) -> bytes:
    return msgspec.json.encode(resources)


def is_of_a_node(topic: str) -> str | None:
    """The node id in `node/<id>/<resource>`; None for `node/check` and other topics.

    Raises `ProtocolError` for an invalid id.
    """
    levels = topic.split("/")
    if len(levels) != 3 or levels[0] != "node":
        return None
    return check_topic_name(levels[1], "node id")


def parse_publication(topic: str, payload: bytes) -> Publication:
    """The content of a message that a node published. Raises `ProtocolError`."""
    if topic == NODE_CHECK:
        uid = _decoded(_check, payload, CHECK_SIZE_MAX).id
        return NodeCheck(check_topic_name(str(uid), "node id"))
    node = is_of_a_node(topic)
    if node is None:
        raise ProtocolError("not a topic of a node")
    resource = topic[len("node/") + len(node) + 1 :]
    if resource == "resources":
        names = _decoded(_names, payload, RESOURCES_SIZE_MAX)
        if len(names) > RESOURCES_MAX:
            raise ProtocolError(f"more than {RESOURCES_MAX} resources")
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


def value_in(payload: bytes) -> Any:
    """The value in a payload of the usual form, `{"value": …}`; `NO_VALUE` for another form.

    `parse_publication` reads every form, and gives the same value for this one.
    """
    if len(payload) >= _LONG_INTEGER_SIZE:
        return NO_VALUE
    try:
        return _plain_value.decode(payload).value
    except (msgspec.MsgspecError, UnicodeError):
        return NO_VALUE


def values_of(publication: Publication) -> tuple[NodeValue, ...]:
    """The values in a publication; none in a check or a list of resources."""
    match publication:
        case NodeValue():
            return (publication,)
        case NodeValues(values=values):
            return values
        case _:
            return ()


def _read_value(payload: bytes) -> Any:
    """A payload of JSON or plain text: much firmware publishes what it would print."""
    body = payload.removeprefix(_BYTE_ORDER_MARK).strip(_PADDING)
    try:
        return _decoded(_any, body, PAYLOAD_SIZE_MAX)
    except ProtocolError:
        # A payload that begins like JSON is malformed JSON, not text.
        if not body or body[:1] in b'{["' or len(payload) > PAYLOAD_SIZE_MAX:
            raise
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("neither JSON nor UTF-8 text") from error
    if "\0" in text:
        raise ProtocolError("a zero byte inside the text")
    return text


def _is_several(value: dict[str, Any], resource: str) -> bool:
    """Whether an object holds values of several resources, and is not one value."""
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
        raise ProtocolError(f"more than {size_max} bytes")
    body = payload.removeprefix(_BYTE_ORDER_MARK).strip(_PADDING)
    try:
        return decoder.decode(quote_long_integers(body))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(str(error)[:_DETAIL_LENGTH_MAX]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error
