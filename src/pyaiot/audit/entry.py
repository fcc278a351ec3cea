# SPDX-License-Identifier: BSD-3-Clause
"""Entries of the audit log and their JSON form. Pure.

Entries contain neither payloads of commands nor values of edits, because these may be personal or
secret. The history stores payloads, with its own retention.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias, get_args

import msgspec

UIDS_MAX: Final = 200
"""Largest number of nodes in one entry. A change of more nodes is recorded as several entries."""
TEXT_LENGTH_MAX: Final = 200
"""Longest name, address or detail in an entry, in characters. Longer text is truncated."""

Series: TypeAlias = Literal["changes", "commands", "connections"]
SERIES: Final[tuple[Series, ...]] = get_args(Series)
"""Each series has its own files and its own share of the space, so that many commands or refused
attempts do not displace changes of accounts and nodes.
"""

COMMAND: Final = "command"
"""Action of an entry about a command. Its result is the state of the receipt."""
GATEWAY_ACTIONS: Final = frozenset({"gateway-connect", "gateway-disconnect"})

LOCAL: Final = "local"
"""Name of a user on the broker's machine, where sign-in is not required."""
ANONYMOUS: Final = "anonymous"
"""Name of a client that has not signed in, or whose credentials are invalid."""


class Principal(msgspec.Struct, frozen=True):
    """Who performs an action, and from where."""

    who: str
    """`user:NAME`, `token:NAME`, `gateway:NAME`, `invitation:ID`, `homeassistant`, `anonymous` or
    `local`."""
    address: str
    """IP address, or `command line`; empty for a component of this process."""


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
    """`ok`, `refused` or `failed`; for a command, the state of its receipt."""
    uids: tuple[str, ...] = ()
    resource: str = ""
    detail: str = ""
    suppressed: int = 0
    """Number of refused attempts by the same principal since its last entry that were not
    recorded.
    """

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
    """Truncate to `TEXT_LENGTH_MAX` characters, and remove lone surrogates, which cannot be
    encoded.
    """
    return text[:TEXT_LENGTH_MAX].encode(errors="replace").decode()


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(AuditEntry)


def to_line(entry: AuditEntry) -> bytes:
    """One line of JSON, with a line feed."""
    return _encode(entry) + b"\n"


def from_line(line: bytes) -> AuditEntry | None:
    """Parse a line. Returns None if it is not an entry, for example after a crash truncated it."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
