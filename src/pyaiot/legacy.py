# SPDX-License-Identifier: BSD-3-Clause
"""The wire forms of deployed pages and gateways: one JSON object a frame (PROTOCOLS 1 and 2).

Our messages go in and come out; the old spellings stay in this file.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers
from pyaiot.messages import (
    Command,
    FromClient,
    FromGateway,
    Join,
    Message,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    check,
    decode_json,
)

TO_ALL = "all"


class _Wire(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    pass


class _ClientNew(_Wire, frozen=True, tag="new"):
    data: Literal["client"]


class _Write(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    # "exactly these three keys": a fourth is not such a message.
    uid: str
    endpoint: str
    payload: str


class _ClientUpdate(_Wire, frozen=True, tag="update"):
    data: _Write


class _New(_Wire, frozen=True, tag="new"):
    uid: str
    dst: str = TO_ALL


class _Update(_Wire, frozen=True, tag="update"):
    uid: str
    endpoint: str
    data: Any
    dst: str = TO_ALL


class _Reset(_Wire, frozen=True, tag="reset"):
    uid: str


class _Out(_Wire, frozen=True, tag="out"):
    uid: str


class _GatewayUpdate(_Wire, frozen=True, tag="update"):
    uid: str
    # Absent in the keep-alive, which is an update of the uid `alive` and nothing else.
    endpoint: str | None = None
    data: Any = msgspec.UNSET


class _ForwardedWrite(_Wire, frozen=True, tag="update"):
    data: _Write
    src: Annotated[str, Meta(max_length=64)]


_from_client = msgspec.json.Decoder(_ClientNew | _ClientUpdate)
_from_gateway = msgspec.json.Decoder(_New | _GatewayUpdate | _Reset | _Out)
_encode = msgspec.json.Encoder().encode


def decode_from_client(frame: str | bytes) -> FromClient:
    """A frame of a legacy client. Raises `ProtocolError`: close with 1003."""
    wire = decode_json(_from_client, _bytes(frame))
    if isinstance(wire, _ClientNew):
        return Join(data="client")
    command = Command(
        uid=wire.data.uid,
        # Old pages write `/led` as well as `led`.
        resource=wire.data.endpoint.removeprefix("/"),
        payload=wire.data.payload,
    )
    check(command)
    return command


def encode_to_client(message: Message, dst: str = TO_ALL) -> bytes | None:
    """The frame for a legacy client, or None for what such a client has no word for."""
    match message:
        case Reading(uid=uid, resource=resource, data=data):
            return _encode(_Update(uid, resource, data, dst))
        case NodeAppeared(uid=uid):
            return _encode(_New(uid, dst))
        case NodeReset(uid=uid):
            return _encode(_Reset(uid))
        case NodeLeft(uid=uid):
            return _encode(_Out(uid))
        case _:
            return None


def decode_from_gateway(frame: str | bytes, ts: float) -> FromGateway | None:
    """A frame of a legacy gateway, received at `ts` (Unix seconds); None is its keep-alive.

    Raises `ProtocolError`: drop the frame, the gateway stays.
    """
    wire = decode_json(_from_gateway, quote_long_integers(_bytes(frame)))
    message: FromGateway
    match wire:
        case _GatewayUpdate(uid="alive", endpoint=None):
            return None
        case _GatewayUpdate(endpoint=None) | _GatewayUpdate(data=msgspec.UNSET):
            raise ProtocolError("an update has an endpoint and data")
        case _GatewayUpdate(uid=uid, endpoint=str(endpoint), data=data):
            resource = endpoint.removeprefix("/")
            message = Reading.received(uid, resource, data, ts)
        case _New(uid=uid):
            message = NodeAppeared(uid=uid, ts=ts)
        case _Reset(uid=uid):
            message = NodeReset(uid=uid, ts=ts)
        case _Out(uid=uid):
            message = NodeLeft(uid=uid, ts=ts)
    check(message)
    return message


def encode_to_gateway(message: Message) -> bytes | None:
    """The frame for a legacy gateway, or None for what it has no word for."""
    if not isinstance(message, Command):
        return None
    write = _Write(message.uid, message.resource, message.payload)
    return _encode(_ForwardedWrite(write, message.client))


def _bytes(frame: str | bytes) -> bytes:
    # A text frame with a lone surrogate cannot be: the decoder below must be the one to say so.
    return frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
