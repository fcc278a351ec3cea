# SPDX-License-Identifier: BSD-3-Clause
"""What WebSocket nodes and their gateway say to each other: JSON text (PROTOCOLS 6). Pure."""

from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers

MESSAGE_SIZE_MAX: Final = 65 * 1024
"""Bytes of one message: the largest value and what is around it. A larger one: closed with 1009."""
PROBLEM_LENGTH_MAX: Final = 120
"""Characters of what is said about wrong bytes: a close reason takes 123 bytes."""


class Named(msgspec.Struct, frozen=True, tag="new", tag_field="type"):
    """A node says who it is, before anything else. Without this it gets a uid for once."""

    uid: str


class Update(msgspec.Struct, frozen=True, tag="update", tag_field="type"):
    """A node reports values, by the names of its resources."""

    data: dict[str, Any]


class Discover(msgspec.Struct, frozen=True):
    """The gateway wants to know all values: an `Update` answers."""


class Write(msgspec.Struct, frozen=True):
    """The gateway writes `payload`, which is text, to a resource."""

    resource: str = msgspec.field(name="endpoint")
    payload: str


class Problem(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """The gateway did not take something that the node said."""

    detail: str


FromNode: TypeAlias = Named | Update
ToNode: TypeAlias = Discover | Write | Problem
_M = TypeVar("_M")


class _ToNode(msgspec.Struct):
    """All of them: historic messages have no `type`."""

    request: str = ""
    resource: str | None = msgspec.field(name="endpoint", default=None)
    payload: str = ""
    detail: str | None = None


_from_node: msgspec.json.Decoder[FromNode] = msgspec.json.Decoder(FromNode)
_to_node = msgspec.json.Decoder(_ToNode)
encode: Final = msgspec.json.Encoder().encode
"""`Named`, `Update`, `Write` or `Problem` → JSON."""
DISCOVER: Final = b'{"request":"discover"}'
"""`Discover` as JSON."""


def decode_from_node(data: bytes) -> FromNode:
    """What a node says. Raises `ProtocolError`."""
    return _decode(_from_node, quote_long_integers(data))


def decode_to_node(data: bytes) -> ToNode:
    """What a node hears. Raises `ProtocolError`."""
    message = _decode(_to_node, data)
    if message.request == "discover":
        return Discover()
    if message.resource is not None:
        return Write(message.resource, message.payload)
    if message.detail is not None:
        return Problem(message.detail)
    raise ProtocolError("neither a request, nor a write, nor an error")


def _decode(decoder: msgspec.json.Decoder[_M], data: bytes) -> _M:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        # The words of the decoder quote the peer, at any length.
        raise ProtocolError(str(error)[:PROBLEM_LENGTH_MAX]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error
