# SPDX-License-Identifier: BSD-3-Clause
"""Messages between WebSocket nodes and their gateway (legacy protocol, section 6). Pure."""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from pyaiot.errors import ProtocolError, requirement
from pyaiot.exact_json import is_exact, quote_long_integers

MESSAGE_SIZE_MAX: Final = 65 * 1024
"""Bytes of one message: the largest value and the JSON around it. Larger: closed with 1009."""
PROBLEM_LENGTH_MAX: Final = 120
"""Characters of the description of an invalid message: a close reason has at most 123 bytes."""


class Named(msgspec.Struct, frozen=True, tag="new", tag_field="type"):
    """The uid of the node, as its first message. Without it, the gateway assigns a uid."""

    uid: str


class Update(msgspec.Struct, frozen=True, tag="update", tag_field="type"):
    """Values of the node, by resource."""

    data: dict[str, Any]


class Discover(msgspec.Struct, frozen=True):
    """Requests all values of the node, which answers with `Update`."""


class Write(msgspec.Struct, frozen=True):
    """Writes `payload`, which is text, to a resource."""

    resource: str = msgspec.field(name="endpoint")
    payload: str


class NodeProblem(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """The gateway refused something that the node sent."""

    detail: str


_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

FromNode: TypeAlias = Named | Update
ToNode: TypeAlias = Discover | Write | NodeProblem
_M = TypeVar("_M")


class _Named(msgspec.Struct, frozen=True, tag="new", tag_field="type"):
    """`Named` as nodes send it: some send the number of their chip."""

    uid: str | Annotated[int, msgspec.Meta(ge=0)]


class _ToNode(msgspec.Struct):
    """The members of all of them, because legacy messages have no `type`."""

    request: str = ""
    resource: str | None = msgspec.field(name="endpoint", default=None)
    payload: str = ""
    detail: str | None = None


_from_node: msgspec.json.Decoder[_Named | Update] = msgspec.json.Decoder(_Named | Update)
_to_node = msgspec.json.Decoder(_ToNode)
encode: Final = msgspec.json.Encoder().encode
"""`Named`, `Update`, `Write` or `NodeProblem` → JSON."""
DISCOVER: Final = b'{"request": "discover"}'
"""`Discover` as JSON."""


def decode_from_node(data: bytes) -> FromNode:
    """Decode a message of a node. Raises `ProtocolError`."""
    # Some firmware includes the terminating zero of the string.
    data = data.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\0")
    message = _decode(_from_node, quote_long_integers(data))
    return Named(str(message.uid)) if isinstance(message, _Named) else message


def read_value(data: bytes) -> tuple[str, object] | None:
    """Resource and value of an `Update` with one value, a text, a boolean or a short number, as
    nearly all messages are. None for any other message. Never raises.

    `decode_from_node` returns the same.
    """
    try:
        message = _from_node.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if type(message) is not Update or len(message.data) != 1:
        return None
    ((resource, value),) = message.data.items()
    if type(value) is str or type(value) is bool:
        return resource, value
    is_short = type(value) in (int, float) and is_exact(value)
    return (resource, value) if is_short else None


def decode_to_node(data: bytes) -> ToNode:
    """Decode a message to a node. Raises `ProtocolError`."""
    message = _decode(_to_node, data)
    if message.request == "discover":
        return Discover()
    if message.resource is not None:
        return Write(message.resource, message.payload)
    if message.detail is not None:
        return NodeProblem(message.detail)
    raise ProtocolError("not a request, a write or an error")


def _decode(decoder: msgspec.json.Decoder[_M], data: bytes) -> _M:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        # The text of the error quotes the message, at any length.
        raise ProtocolError(requirement(str(error))[:PROBLEM_LENGTH_MAX]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error
