# SPDX-License-Identifier: BSD-3-Clause
"""The entries of the audit log, and their JSON form. Pure.

An entry has no payload of a command and no values of an edit: they may be personal, or a secret
that somebody writes to a device. The history has the payloads, with a retention of its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import msgspec

UIDS_MAX: Final = 200
"""Nodes of one entry. A change of more nodes is recorded as several entries."""
TEXT_LENGTH_MAX: Final = 200
"""Characters of a name, an address or a detail in an entry. Cut there."""

Series: TypeAlias = Literal["changes", "commands", "connections"]
SERIES: Final[tuple[Series, ...]] = get_args(Series)
"""Each has files and a share of the space of its own, so that many commands or many refused
attempts do not push out the changes of accounts and nodes."""

COMMAND: Final = "command"
"""The action of an entry about a command. Its result is the state of the receipt."""
GATEWAY_ACTIONS: Final = frozenset({"gateway-connect", "gateway-disconnect"})

LOCAL: Final = "local"
"""Somebody on the machine of the broker, where no sign-in is required."""
ANONYMOUS: Final = "anonymous"
"""A client that has not signed in, or whose sign-in is not valid."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, and from where."""

    who: str
    """`user:NAME`, `token:NAME`, `gateway:NAME`, `invitation:ID`, `homeassistant`, `anonymous` or
    `local`."""
    address: str
    """IP address; `command line`; empty for a part of this process."""


THIS_PROCESS: Final = Principal(LOCAL, "")
COMMAND_LINE: Final = Principal(LOCAL, "command line")


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One line of the log."""

    ts: float
    """Unix time in seconds."""
    action: str
    who: str
    address: str = msgspec.field(name="from", default="")
    result: str
    """`ok`, `refused` or `failed`; of a command, the state of its receipt."""
    uids: tuple[str, ...] = ()
    resource: str = ""
    detail: str = ""
    suppressed: int = 0
    """Refused attempts of the same principal since its last entry that have none."""

    @property
    def series(self) -> Series:
        if self.action == COMMAND:
            return "commands"
        if self.result != "ok" or self.action in GATEWAY_ACTIONS:
            return "connections"
        return "changes"


def entries(
    principal: Principal,
    action: str,
    result: str = "ok",
    *,
    ts: float,
    uids: Iterable[str] = (),
    resource: str = "",
    detail: str = "",
    suppressed: int = 0,
) -> Iterator[AuditEntry]:
    """The entries of one action: one, or several if it concerns many nodes."""
    named = [cut(uid) for uid in uids]
    for start in range(0, len(named) or 1, UIDS_MAX):
        yield AuditEntry(
            ts=round(ts, 6),
            action=action,
            who=cut(principal.who),
            address=cut(principal.address),
            result=result,
            uids=tuple(named[start : start + UIDS_MAX]),
            resource=cut(resource),
            detail=cut(detail),
            suppressed=suppressed,
        )
        suppressed = 0


def cut(text: str) -> str:
    """At most `TEXT_LENGTH_MAX` characters, without lone surrogates, which no file can store."""
    return text[:TEXT_LENGTH_MAX].encode(errors="replace").decode()


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(AuditEntry)


def to_line(entry: AuditEntry) -> bytes:
    """One line of JSON with its line end."""
    return _encode(entry) + b"\n"


def from_line(line: bytes) -> AuditEntry | None:
    """None if it is not an entry, such as a line that a crash cut off."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
