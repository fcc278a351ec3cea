# SPDX-License-Identifier: BSD-3-Clause
"""Findings of the doctor, and the functions that judge measured facts. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.redaction import redact
from pyaiot.transport.tls import Certificate

Verdict: TypeAlias = Literal["ok", "note", "wrong"]
"""`note`: it works, with a limitation. `wrong`: something does not work."""

FREE_WRONG_BYTES: Final = 100 * 1024 * 1024
FREE_NOTE_BYTES: Final = 1024 * 1024 * 1024
"""Free disk space: below the first value, history will soon stop; below the second, it is a
note."""
CLOCK_OFF_WRONG_S: Final = 60.0
CLOCK_OFF_NOTE_S: Final = 2.0
"""Differences between two clocks: from the first on, readings get a wrong minute; from the second
on, a wrong order."""
FILES_FEW: Final = 4096
"""Limit of open files below which there is a note. Each WebSocket node and each client needs one
file."""
FILES_ENOUGH: Final = 65_536
"""The limit that is recommended where the system allows it."""
YEAR_MIN: Final = 2025
"""A clock before this year was never set: boards without a battery start in 1970."""


class Finding(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"subject": "about", "text": "says", "action": "do"},
):
    """The result of one check. Scripts read its JSON form, so its names must not change."""

    area: str
    """Findings of one area are shown together: `machine`, `settings`, `ports` …"""
    subject: str
    """The checked object."""
    verdict: Verdict
    text: str
    action: str = ""
    """The remedy; empty only if the verdict is `ok`."""


def redacted(finding: Finding) -> Finding:
    """Mask the secrets in a finding. A quoted setting may contain a password."""
    return msgspec.structs.replace(
        finding, text=redact(finding.text), action=redact(finding.action)
    )


def exit_code(findings: Sequence[Finding]) -> int:
    """1 if there is a problem, else 0."""
    return int(any(finding.verdict == "wrong" for finding in findings))


def summary(findings: Sequence[Finding]) -> str:
    """One sentence: the number of problems and notes."""
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    notes = sum(finding.verdict == "note" for finding in findings)
    if wrong:
        return f"{_count(wrong, 'problem')}, {_count(notes, 'note')}."
    return f"No problems found, {_count(notes, 'note')}."


def open_files(soft: int, hard: int) -> Finding:
    """`soft`, `hard`: the limits of open files of this process. Negative: no limit."""
    if soft < 0 or soft >= FILES_FEW:
        text = "no limit" if soft < 0 else f"{soft:,} at once"
        return Finding("machine", "open files", "ok", text)
    text = f"{soft:,} at once, which limits the number of WebSocket nodes and clients"
    enough = min(hard, FILES_ENOUGH) if hard >= 0 else FILES_ENOUGH
    action = f"for a fleet: `ulimit -n {enough}` before `aiot`, or LimitNOFILE={enough} in systemd"
    return Finding("machine", "open files", "note", text, action)


def receive_buffer(given: int, wanted: int) -> Finding:
    """`given`, `wanted`: bytes of the receive buffer of a socket."""
    text = f"{given // 1024:,} KiB for queued datagrams"
    if given >= wanted:
        return Finding("machine", "UDP buffer", "ok", text)
    return Finding(
        "machine",
        "UDP buffer",
        "note",
        f"{text}: bursts of many boards may overflow it",
        f"`sysctl -w net.core.rmem_max={wanted}`",
    )


def clock(year: int, *, synchronised: bool | None) -> Finding:
    """`synchronised`: as reported by the kernel; None: unknown."""
    if year < YEAR_MIN:
        return Finding(
            "machine",
            "clock",
            "wrong",
            f"the year is {year}",
            "set it, and run an NTP client (systemd-timesyncd, chrony): history depends on it",
        )
    if synchronised is False:
        return Finding(
            "machine",
            "clock",
            "note",
            "not synchronised (no NTP client found)",
            "run an NTP client (systemd-timesyncd, chrony); for a container, on its host",
        )
    return Finding("machine", "clock", "ok", "synchronised" if synchronised else "plausible")


def clock_of_broker(broker: float, here: float) -> Finding:
    """`broker`, `here`: the time on both machines at the same moment, in Unix seconds."""
    off = abs(broker - here)
    if off < CLOCK_OFF_NOTE_S:
        return Finding("broker", "its clock", "ok", "equal to the clock of this machine")
    which = "ahead of" if broker > here else "behind"
    return Finding(
        "broker",
        "its clock",
        "wrong" if off >= CLOCK_OFF_WRONG_S else "note",
        f"{off:,.0f} s {which} the clock of this machine",
        "correct the wrong clock, and run an NTP client on both machines",
    )


def nats_connection(*, connected: bool, problem: str) -> Finding:
    """`problem`: why the broker has no connection to a nats-server; empty if unknown."""
    if connected:
        return Finding("cluster", "nats-server", "ok", "connected")
    text = f"not connected{f': {problem}' if problem else ''}"
    action = "check that a nats-server of --cluster runs and is reachable from the broker"
    return Finding("cluster", "nats-server", "wrong", text, action)


def reachable(lost: Sequence[str], present: Sequence[str]) -> Finding:
    """`lost`, `present`: names of the other brokers of the cluster."""
    if lost:
        action = "check their machines, and the connections to the nats-servers"
        text = f"no packets from {', '.join(lost)}"
        return Finding("cluster", "other brokers", "wrong", text, action)
    if not present:
        action = "start another one with the same --cluster and --cluster-name"
        return Finding("cluster", "other brokers", "note", "no packets from any", action)
    return Finding("cluster", "other brokers", "ok", f"packets from {', '.join(present)}")


def incompatible(own: str, others: Mapping[str, str]) -> Finding:
    """`others`: versions that are incompatible with `own`, by the name of the broker."""
    text = ", ".join(f"{name} has {version}" for name, version in others.items())
    action = "upgrade one release after the other: neighbouring releases work together"
    text = f"{text}, which does not work together with {own}"
    return Finding("cluster", "incompatible version", "wrong", text, action)


def clocks(ahead_s: Mapping[str, float]) -> Finding:
    """`ahead_s`: brokers whose clocks differ from that of the queried broker, with the
    difference."""
    if not ahead_s:
        return Finding("cluster", "clocks", "ok", "those of all brokers agree")
    text = ", ".join(f"that of {name} differs by {by:+.0f} s" for name, by in ahead_s.items())
    return Finding(
        "cluster", "clocks", "wrong", text, "synchronise the clocks of all brokers (NTP)"
    )


def versions(own: str, others: Mapping[str, str]) -> Finding:
    """`own`: the version of the queried broker. `others`: the versions of the others, by name."""
    different = [f"{name} has {version}" for name, version in others.items() if version != own]
    if not different:
        return Finding("cluster", "version", "ok", f"all have {own}")
    text = f"this broker has {own}, {', '.join(different)}"
    action = "upgrade one after the other until all have the same"
    return Finding("cluster", "version", "note", text, action)


def ipv6(*, enabled: bool, link_local: Sequence[str]) -> Finding:
    """`link_local`: names of the interfaces with a link-local address."""
    if not enabled:
        return Finding(
            "machine",
            "IPv6",
            "wrong",
            "not available: UDP listeners use IPv6 sockets, also for IPv4",
            "`sysctl -w net.ipv6.conf.all.disable_ipv6=0`, or start the container with IPv6",
        )
    if not link_local:
        return Finding(
            "machine",
            "IPv6",
            "note",
            "works, but no interface has a link-local address (fe80::)",
            "boards on the same link need one: `ip link set INTERFACE up`, or join a network",
        )
    return Finding("machine", "IPv6", "ok", f"link-local on {', '.join(link_local)}")


def disk(folder: str, free_bytes: int) -> Finding:
    """`folder`: contains the history and MQTT messages."""
    text = f"{_size(free_bytes)} free at {folder}"
    if free_bytes >= FREE_NOTE_BYTES:
        return Finding("settings", "disk", "ok", text)
    action = "free space, or lower [history] readings_days: history stops on a full disk"
    verdict: Verdict = "wrong" if free_bytes < FREE_WRONG_BYTES else "note"
    return Finding("settings", "disk", verdict, text, action)


def certificate(path: str, facts: Certificate, now: datetime) -> Finding:
    """`path`: of the certificate. `facts`: its contents. `now`: the current time, in UTC."""
    renew = "renew it (`aiot tls self-signed --force`, or with its authority), then send SIGHUP"
    problem = facts.problem(now)
    if problem:
        return Finding("settings", "certificate", "wrong", f"{path} {problem}", renew)
    days = (facts.valid_until - now).days
    if facts.expires_soon(now):
        text = f"{path} expires in {_count(days, 'day')}"
        return Finding("settings", "certificate", "note", text, renew)
    text = f"{path} is valid for {days:,} days, and its key belongs to it"
    return Finding("settings", "certificate", "ok", text)


def port(name: str, where: str, *, problem: str, owner: str, ours: bool, flag: str) -> Finding:
    """`problem`: why the port cannot be bound; empty if it can. `owner`: the process that uses it,
    if known. `ours`: whether that process belongs to Pyaiot."""
    if not problem:
        return Finding("ports", name, "ok", f"{where} is free")
    if ours:
        return Finding("ports", name, "ok", f"{where} is used by {owner}, a process of Pyaiot")
    if owner:
        return Finding(
            "ports",
            name,
            "wrong",
            f"{where} is in use by {owner}",
            f"stop that process, or choose another port with {flag}",
        )
    action = f"choose another port with {flag}"
    return Finding("ports", name, "wrong", f"{where}: {problem}", action)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
