# SPDX-License-Identifier: BSD-3-Clause
"""What the doctor finds, and its judgement of plain facts. Pure."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.redaction import redact

Verdict: TypeAlias = Literal["ok", "note", "wrong"]
"""`note`: it works, and somebody may want to know. `wrong`: something will not work."""

FREE_WRONG_BYTES: Final = 100 * 1024 * 1024
FREE_NOTE_BYTES: Final = 1024 * 1024 * 1024
"""Room on the disk: below the first nothing can be kept for long, below the second it is near."""
CLOCK_OFF_WRONG_S: Final = 60.0
CLOCK_OFF_NOTE_S: Final = 2.0
"""Between two clocks: readings of a day would stand in another minute; order is lost."""
FILES_FEW: Final = 4096
"""Open files of one process: each node over WebSocket, and each client, is one."""
FILES_ENOUGH: Final = 65_536
"""What is advised where the system allows as much."""
YEAR_MIN: Final = 2025
"""A clock that shows less was never set: boards without a battery begin in 1970."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at."""

    area: str
    """Findings of one area are shown together: `machine`, `settings`, `ports` …"""
    about: str
    verdict: Verdict
    says: str
    do: str = ""
    """What a person can do about it; empty only if it is ok."""


def redacted(finding: Finding) -> Finding:
    """The finding as it may be shown: a setting that it quotes may have a password in it."""
    return msgspec.structs.replace(finding, says=redact(finding.says), do=redact(finding.do))


def exit_code(findings: Sequence[Finding]) -> int:
    """0: nothing is wrong. 1: something is."""
    return int(any(finding.verdict == "wrong" for finding in findings))


def summary(findings: Sequence[Finding]) -> str:
    """One sentence on all of it."""
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    notes = sum(finding.verdict == "note" for finding in findings)
    if wrong:
        return f"{_count(wrong, 'thing')} to mend, {_count(notes, 'note')}."
    return f"Nothing is wrong, {_count(notes, 'note')}."


def open_files(soft: int, hard: int) -> Finding:
    """The limit of this process, and how far it may be raised. Negative: there is none."""
    if soft < 0 or soft >= FILES_FEW:
        says = "no limit" if soft < 0 else f"{soft:,} at once"
        return Finding("machine", "open files", "ok", says)
    says = f"{soft:,} at once: about as many nodes over WebSocket and clients"
    enough = min(hard, FILES_ENOUGH) if hard >= 0 else FILES_ENOUGH
    do = f"for a fleet: `ulimit -n {enough}` before `aiot`, or LimitNOFILE={enough} in systemd"
    return Finding("machine", "open files", "note", says, do)


def receive_buffer(given: int, wanted: int) -> Finding:
    """Bytes that the system gives a socket for datagrams that wait."""
    says = f"{given // 1024:,} KiB for datagrams that wait"
    if given >= wanted:
        return Finding("machine", "UDP buffer", "ok", says)
    return Finding(
        "machine",
        "UDP buffer",
        "note",
        f"{says}: bursts of many boards may overflow it",
        f"`sysctl -w net.core.rmem_max={wanted}`",
    )


def clock(year: int, *, synchronised: bool | None) -> Finding:
    """`synchronised`: as the kernel says; None: it does not say."""
    if year < YEAR_MIN:
        return Finding(
            "machine",
            "clock",
            "wrong",
            f"shows the year {year}",
            "set it, and run an NTP client (systemd-timesyncd, chrony): history is kept by it",
        )
    if synchronised is False:
        return Finding(
            "machine",
            "clock",
            "note",
            "nobody keeps it right, as far as the system knows",
            "run an NTP client (systemd-timesyncd, chrony); in a container, its host's counts",
        )
    return Finding("machine", "clock", "ok", "kept right" if synchronised else "looks right")


def clock_of_broker(broker: float, here: float) -> Finding:
    """Unix times of the two, at the same moment, to a second."""
    off = abs(broker - here)
    if off < CLOCK_OFF_NOTE_S:
        return Finding("broker", "its clock", "ok", "the same as here")
    which = "ahead of" if broker > here else "behind"
    return Finding(
        "broker",
        "its clock",
        "wrong" if off >= CLOCK_OFF_WRONG_S else "note",
        f"{off:,.0f} s {which} the one here",
        "set the wrong one, and run an NTP client on both machines",
    )


def ipv6(*, enabled: bool, link_local: Sequence[str]) -> Finding:
    """`link_local`: names of the interfaces that have such an address."""
    if not enabled:
        return Finding(
            "machine",
            "IPv6",
            "wrong",
            "not available: listeners on UDP use IPv6 sockets, which carry IPv4 too",
            "`sysctl -w net.ipv6.conf.all.disable_ipv6=0`, or start the container with IPv6",
        )
    if not link_local:
        return Finding(
            "machine",
            "IPv6",
            "note",
            "works, but no interface has a link-local address (fe80::)",
            "boards on the same wire need one: `ip link set INTERFACE up`, or join a network",
        )
    return Finding("machine", "IPv6", "ok", f"link-local on {', '.join(link_local)}")


def disk(folder: str, free_bytes: int) -> Finding:
    """Where history and MQTT messages are kept."""
    says = f"{_size(free_bytes)} free at {folder}"
    if free_bytes >= FREE_NOTE_BYTES:
        return Finding("settings", "disk", "ok", says)
    do = "make room, or keep less: [history] readings_days; history stops on a full disk"
    verdict: Verdict = "wrong" if free_bytes < FREE_WRONG_BYTES else "note"
    return Finding("settings", "disk", verdict, says, do)


def port(door: str, where: str, *, problem: str, owner: str, ours: bool, flag: str) -> Finding:
    """`problem`: why it cannot be had, or nothing. `owner`: the process that has it, if known."""
    if not problem:
        return Finding("ports", door, "ok", f"{where} is free")
    if ours:
        return Finding("ports", door, "ok", f"{where} is held by {owner}, one of Pyaiot")
    if owner:
        return Finding(
            "ports",
            door,
            "wrong",
            f"{where} is taken by {owner}",
            f"end that, or choose another with {flag}",
        )
    return Finding("ports", door, "wrong", f"{where}: {problem}", f"choose another with {flag}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
