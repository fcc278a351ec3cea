# SPDX-License-Identifier: BSD-3-Clause
"""What nodes post to their gateway: `alive:<uid>`, `reset:<uid>`, `<resource>:<value>`. Pure."""

import msgspec

from pyaiot.errors import ProtocolError


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A sign of life. `uid` None: firmware of old that says `alive` or `reset` and no more."""

    uid: str | None
    rebooted: bool


class Value(msgspec.Struct, frozen=True, gc=False):
    """A value of a resource, as the node printed it."""

    resource: str
    data: str


def parse_alive(payload: bytes) -> Alive:
    """The payload of `POST /alive`. What counts is the text after the last colon, if there is one.

    Raises `ProtocolError`. The uid is not checked: that is for whoever takes it.
    """
    kind, colon, uid = _text(payload).rpartition(":")
    uid = uid.strip()
    if not colon:
        kind = uid.lower()
        if kind not in ("alive", "reset"):
            raise ProtocolError("alive:<uid> or reset:<uid>")
        return Alive(None, rebooted=kind == "reset")
    return Alive(uid, rebooted=kind.strip().lower() == "reset")


def parse_value(payload: bytes) -> Value:
    """The payload of `POST /server`, split at the first colon. Raises `ProtocolError`."""
    resource, colon, data = _text(payload).partition(":")
    resource = resource.strip()
    if not colon or not resource:
        raise ProtocolError("<resource>:<value>")
    return Value(resource, data)


def _text(payload: bytes) -> str:
    try:
        # Some firmware counts the end of the string into its length.
        return payload.decode().rstrip("\0")
    except UnicodeDecodeError as error:
        raise ProtocolError("not UTF-8") from error
