# SPDX-License-Identifier: BSD-3-Clause
"""The payloads of posts: `alive:<uid>`, `reset:<uid>`, `<resource>:<value>`. Pure."""

import msgspec

from pyaiot.errors import ProtocolError


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A sign of life. `uid` None: old firmware, which sends only `alive` or `reset`."""

    uid: str | None
    rebooted: bool


class PostedValue(msgspec.Struct, frozen=True, gc=False):
    """A value of a resource, as text of the node."""

    resource: str
    data: str


def parse_alive(payload: bytes) -> Alive:
    """The payload of `POST /alive`. The uid is the text after the last colon.

    Raises `ProtocolError`. The caller checks the uid.
    """
    kind, colon, uid = _text(payload).rpartition(":")
    uid = uid.strip()
    if not colon:
        kind = uid.lower()
        if kind not in ("alive", "reset"):
            raise ProtocolError("not alive:<uid> or reset:<uid>")
        return Alive(None, rebooted=kind == "reset")
    return Alive(uid, rebooted=kind.strip().lower() == "reset")


def parse_value(payload: bytes) -> PostedValue:
    """The payload of `POST /server`, split at the first colon. Raises `ProtocolError`."""
    resource, colon, data = _text(payload).partition(":")
    resource = resource.strip()
    if not colon or not resource:
        raise ProtocolError("not <resource>:<value>")
    return PostedValue(resource, data)


def _text(payload: bytes) -> str:
    try:
        # Some firmware includes the terminating zero of the string.
        return payload.decode().rstrip("\0")
    except UnicodeDecodeError as error:
        raise ProtocolError("not UTF-8") from error
