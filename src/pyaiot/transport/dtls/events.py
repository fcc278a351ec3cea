# SPDX-License-Identifier: BSD-3-Clause
"""The events of the DTLS server. Pure."""

from typing import TypeAlias

import msgspec

from pyaiot.transport.peers import Peer


class SessionOpened(msgspec.Struct, frozen=True, gc=False):
    """A device has proved its uid: a session with this peer exists and may replace an earlier
    one."""

    peer: Peer


class SessionReady(msgspec.Struct, frozen=True, gc=False):
    """The device sent its first message in this session, so its handshake is complete, too. Nothing
    is sent to it before that: libcoap 4.3 does not notice the end of its handshake if a message
    overtakes it, and then sends nothing."""

    peer: Peer


class SessionClosed(msgspec.Struct, frozen=True, gc=False):
    """Nothing more can be sent to this peer."""

    peer: Peer
    reason: str
    other: Peer | None
    """The latest other session of the same device that is ready; None if there is none."""


class HandshakeFailed(msgspec.Struct, frozen=True, gc=False):
    """A client returned its cookie, but no session was established."""

    peer: Peer
    identity: str | None
    """The identity that the client sent; None if it sent none."""
    is_known: bool
    """Whether that identity has a key."""
    reason: str


class Plaintext(msgspec.Struct, frozen=True, gc=False):
    """Data that a device sent in its session."""

    data: bytes
    peer: Peer


SessionChange: TypeAlias = SessionOpened | SessionReady | SessionClosed
DtlsEvent: TypeAlias = Plaintext | SessionChange | HandshakeFailed
