# SPDX-License-Identifier: BSD-3-Clause
"""The JSON form of the messages, `pyaiot.v2`: every frame is a JSON array of messages."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from pyaiot.errors import ProtocolError, requirement
from pyaiot.messages.checks import are_plain_readings, check
from pyaiot.messages.limits import FRAME_SIZE_MAX, PROBLEM_LENGTH_MAX
from pyaiot.messages.types import (
    FromClient,
    FromGateway,
    Message,
    ToClient,
    ToGateway,
)

M = TypeVar("M")

encode: Final = msgspec.json.Encoder().encode
"""Encode one message as JSON, or several of them as a JSON array."""

_TOGETHER_MAX: Final = FRAME_SIZE_MAX // 64
"""More messages than this do not fit into one frame: each has more than 64 bytes."""

_from_client = msgspec.json.Decoder(list[FromClient])
_from_gateway = msgspec.json.Decoder(list[FromGateway])
_to_client = msgspec.json.Decoder(list[ToClient])
_to_gateway = msgspec.json.Decoder(list[ToGateway])
_one_from_gateway = msgspec.json.Decoder(FromGateway)
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])


def encode_frames(messages: Sequence[Message]) -> Iterator[bytes]:
    """JSON arrays that carry these messages in order, each of at most `FRAME_SIZE_MAX` bytes."""
    if not messages:
        return
    # In one call if they fit, as nearly always: else the messages are encoded one by one.
    together = encode(messages) if len(messages) <= _TOGETHER_MAX else b""
    if together and len(together) <= FRAME_SIZE_MAX:
        yield together
        return
    part: list[bytes] = []
    size = 2
    for encoded in map(encode, messages):
        if part and size + len(encoded) + 1 > FRAME_SIZE_MAX:
            yield b"[" + b",".join(part) + b"]"
            part, size = [], 2
        part.append(encoded)
        size += len(encoded) + 1
    if part:
        yield b"[" + b",".join(part) + b"]"


def decode_json(decoder: msgspec.json.Decoder[M], data: str | bytes) -> M:
    """Decode bytes of a peer. Raises `ProtocolError` for any invalid input."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        # The message of the decoder quotes the peer, at any length.
        raise ProtocolError(requirement(str(error))[:PROBLEM_LENGTH_MAX]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error


def decode_from_client(frame: str | bytes) -> list[FromClient]:
    """An array of messages, or a single one. Raises `ProtocolError`: close with 1003."""
    text = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
    if text.lstrip()[:1] == b"{":
        text = b"[" + text + b"]"
    messages = decode_json(_from_client, text)
    for message in messages:
        check(message)
    return messages


def decode_from_gateway(frame: str | bytes) -> tuple[list[FromGateway], list[str]]:
    """The valid messages of a frame, and a sentence for each invalid one.

    An invalid message does not affect the others. Raises `ProtocolError` if the frame is not a JSON
    array.
    """
    problems: list[str] = []
    try:
        messages = decode_json(_from_gateway, frame)
    except ProtocolError:
        messages = []
        for raw in decode_json(_raw_array, frame):
            try:
                messages.append(decode_json(_one_from_gateway, bytes(raw)))
            except ProtocolError as error:
                problems.append(str(error))
    if are_plain_readings(messages):
        return messages, problems
    valid: list[FromGateway] = []
    for message in messages:
        try:
            check(message)
        except ProtocolError as error:
            problems.append(str(error))
        else:
            valid.append(message)
    return valid, problems


def decode_to_client(frame: str | bytes) -> list[ToClient]:
    """The messages of a frame from the broker to a client. Raises `ProtocolError`."""
    return decode_json(_to_client, frame)


def decode_to_gateway(frame: str | bytes) -> list[ToGateway]:
    """The messages of a frame from the broker to a gateway. Raises `ProtocolError`."""
    return decode_json(_to_gateway, frame)
