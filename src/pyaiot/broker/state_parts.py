# SPDX-License-Identifier: BSD-3-Clause
"""The state of nodes in the form of a joining client. It is encoded once for all of them. Pure."""

import secrets
from collections.abc import Collection, Sequence
from operator import is_
from typing import Final, NamedTuple, Protocol

from pyaiot import legacy
from pyaiot.backlog import costs
from pyaiot.broker.encoders import ARRAYS, ARRAYS_WITH_REGISTRY, LEGACY, Encoder
from pyaiot.broker.state import KnownNode
from pyaiot.messages import Reading, ToClient, encode
from pyaiot.transport.websocket_frames import text_frame

PARTS_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest total size of encoded nodes that are kept, in bytes. Beyond it, the oldest are dropped
and encoded again when needed."""
PART_COST_MAX: Final = 64 * 1024
"""Largest state of a node that is encoded once and cached, in bytes. Larger ones are sent message
by message, to each client by itself.
"""
PARTS_LIFE_S: Final = 1.0
"""How long encoded nodes are kept after the last client has joined. Clients often join together:
after a restart of a proxy or of the broker."""
_ENTRY_BYTES: Final = 200
"""Bytes of a part in addition to its text."""


class StateForm(Protocol):
    """Encodes nodes separately, and assembles them to the bytes for one client."""

    def encode(self, messages: Sequence[ToClient], /) -> bytes:
        """The messages of a node, at least one."""
        ...

    def assemble(self, parts: Sequence[bytes], client: str, /) -> bytes:
        """Assemble parts from `encode` to the answer to the `join` of a client."""
        ...


class ArrayState:
    """One JSON array of `pyaiot.v2`."""

    def encode(self, messages: Sequence[ToClient], /) -> bytes:
        return b",".join(map(encode, messages))

    def assemble(self, parts: Sequence[bytes], _client: str, /) -> bytes:
        return text_frame(b"[" + b",".join(parts) + b"]")


class LegacyState:
    """One frame for each message. It contains the id of the client, which is inserted last."""

    def __init__(self) -> None:
        # Random, so that no text of a device contains it.
        self.placeholder = secrets.token_hex(8)

    def encode(self, messages: Sequence[ToClient], /) -> bytes:
        payloads = (legacy.encode_to_client(message, self.placeholder) for message in messages)
        return b"".join(text_frame(payload) for payload in payloads if payload is not None)

    def assemble(self, parts: Sequence[bytes], client: str, /) -> bytes:
        return b"".join(parts).replace(self.placeholder.encode(), client.encode())


_ARRAY: Final = ArrayState()
_LEGACY: Final = LegacyState()


def state_form(encoder: Encoder, client: str) -> StateForm | None:
    """The form in which this client gets the state; None if it cannot be shared."""
    if encoder is ARRAYS or encoder is ARRAYS_WITH_REGISTRY:
        return _ARRAY
    # Frames contain their length.
    has_length = len(client.encode()) == len(_LEGACY.placeholder)
    return _LEGACY if encoder is LEGACY and has_length else None


class _Part(NamedTuple):
    """An encoded node, and the messages from which it was made."""

    messages: tuple[ToClient, ...]
    encoded: bytes


class StateParts:
    """Nodes that were encoded for clients that joined recently."""

    def __init__(self) -> None:
        self._parts: dict[tuple[StateForm, KnownNode], _Part] = {}
        """The oldest first."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def encoded(self, node: KnownNode, form: StateForm) -> bytes | None:
        """The encoded state of a node: that it appeared, and its latest readings. None if it is too
        large."""
        key = form, node
        part = self._parts.get(key)
        if part is not None:
            if _is_of(part.messages, node.appeared, node.readings.values()):
                return part.encoded
            self._remove(key)
        messages: tuple[ToClient, ...] = (node.appeared, *node.readings.values())
        if sum(costs(messages)) > PART_COST_MAX:
            return None
        encoded = form.encode(messages)
        self._parts[key] = _Part(messages, encoded)
        self._bytes += len(encoded) + _ENTRY_BYTES
        while self._bytes > PARTS_BYTES_MAX:
            self._remove(next(iter(self._parts)))
        return encoded

    def clear(self) -> None:
        self._parts.clear()
        self._bytes = 0

    def _remove(self, key: tuple[StateForm, KnownNode]) -> None:
        self._bytes -= len(self._parts.pop(key).encoded) + _ENTRY_BYTES


def _is_of(
    messages: tuple[ToClient, ...], appeared: ToClient, readings: Collection[Reading]
) -> bool:
    """Whether a part was made from these messages. Readings are compared by identity: equal ones
    may be encoded differently (`1` and `true`)."""
    return (
        len(messages) == len(readings) + 1
        and messages[0] == appeared
        and all(map(is_, messages[1:], readings))
    )
