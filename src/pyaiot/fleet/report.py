# SPDX-License-Identifier: BSD-3-Clause
"""Progress line and result of a fleet, as a table or JSON. Pure."""

from collections import Counter
from typing import Any, Final

import msgspec

from pyaiot.fleet.lateness import Lateness
from pyaiot.fleet.ledger import Tally

TITLES: Final = (
    *("protocol", "nodes", "sent", "acked", "seen", "superseded", "lost", "twice"),
    *("p50 ms", "p99 ms"),
)
WIDTHS: Final = (9, 6, 9, 9, 9, 11, 7, 6, 7, 7)
"""80 characters in total."""
GAP_REPORTED_S: Final = 1.0
"""Longer gaps of a protocol are reported."""


class Report(msgspec.Struct, frozen=True):
    """The result of a run, after `Ledger.close`."""

    tallies: list[Tally]
    total: Tally
    seconds: float
    """Duration of the run."""
    requested_per_s: float
    commands_sent: int
    commands_ended: Counter[str]
    commands_lateness: Lateness
    broker_connections: int
    cpu_s: float
    """CPU time of the process during the run."""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if an acknowledged reading was lost, or an unexpected value was received; else 0."""
        return 1 if self.total.lost or self.total.unexpected else 0


def table(report: Report) -> str:
    """The result as text. Lines have at most 80 characters up to 10^8 readings."""
    lines = [_row(TITLES)]
    lines += [_row(_cells(tally)) for tally in report.tallies]
    if len(report.tallies) > 1:
        lines.append(_row(_cells(report.total)))
    total = report.total
    lines.append("")
    lines.append(
        f"Sent {total.sent / report.seconds:,.0f} of {report.requested_per_s:,.0f} readings a"
        f" second for {report.seconds:,.0f} s,"
        f" with {100 * report.cpu_s / report.seconds:.0f} % of a core."
    )
    if report.commands_sent:
        ended = ", ".join(f"{count:,} {state}" for state, count in report.commands_ended.items())
        late = report.commands_lateness
        took = f"; p50 {_ms(late, 50)} ms, p99 {_ms(late, 99)} ms" if late.count else ""
        lines.append(f"Commands: {report.commands_sent:,} sent, {ended or 'none ended'}{took}.")
    lines += _exceptions(report)
    if total.lost:
        lines.append(f"LOST: {total.lost:,} readings were acknowledged and never arrived.")
    if total.unexpected:
        lines.append(f"WRONG: {total.unexpected:,} values arrived that no node sent.")
    if not report.exit_code:
        lines.append("No acknowledged reading was lost.")
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The result for programs. Durations end in `_ms` or `_s`."""
    return {
        "seconds": round(report.seconds, 3),
        "asked_per_s": report.requested_per_s,
        "sent_per_s": round(report.total.sent / report.seconds, 1),
        "cpu_s": round(report.cpu_s, 3),
        "protocols": {tally.protocol: _figures(tally) for tally in report.tallies},
        "total": _figures(report.total),
        "commands": {
            "sent": report.commands_sent,
            "ended": dict(report.commands_ended),
            "p50_ms": _ms_number(report.commands_lateness, 50),
            "p99_ms": _ms_number(report.commands_lateness, 99),
        },
        "broker_connections": report.broker_connections,
        "notes": list(report.notes),
        "exit_code": report.exit_code,
    }


def progress(total: Tally, elapsed_s: float, per_s: float) -> str:
    """The progress line. At most 79 characters, so that the cursor fits in the line too."""
    refused = sum(total.refusals.values())
    return (
        f"{elapsed_s:5.0f} s {per_s:6,.0f}/s {total.sent:10,} sent {total.acknowledged:10,} acked"
        f" {total.seen:10,} seen {refused:5,} refused"
    )


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (
        *(tally.nodes, tally.sent, tally.acknowledged, tally.seen, tally.superseded),
        *(tally.lost, tally.duplicates),
    )
    late = tally.lateness
    return (tally.protocol, *map(_count, counts), _ms(late, 50), _ms(late, 99))


def _count(number: int) -> str:
    """With thousands separators, if they fit."""
    return f"{number:,}" if number < 1_000_000 else str(number)


def _row(cells: tuple[str, ...]) -> str:
    first, *others = cells
    widths = WIDTHS[1:]
    row = f"{first:<{WIDTHS[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(others, widths, strict=True)
    )
    return row.rstrip()


def _exceptions(report: Report) -> list[str]:
    """A line for each irregularity of the run."""
    lines = []
    for tally in report.tallies:
        parts = [f"{count:,} refused with {reason}" for reason, count in tally.refusals.items()]
        if tally.connections > tally.nodes:
            parts.append(f"{tally.connections - tally.nodes:,} reconnections")
        if tally.skipped:
            parts.append(f"{tally.skipped:,} readings skipped")
        if tally.undecided:
            parts.append(f"{tally.undecided:,} neither acknowledged nor seen")
        if tally.longest_gap_s > GAP_REPORTED_S:
            parts.append(f"no reading seen for {tally.longest_gap_s:.1f} s")
        if parts:
            lines.append(f"{tally.protocol}: {'; '.join(parts)}.")
    if report.broker_connections > 1:
        lines.append(f"Connected to the broker {report.broker_connections} times.")
    return [*lines, *report.notes]


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "nodes": tally.nodes,
        "sent": tally.sent,
        "acknowledged": tally.acknowledged,
        "seen": tally.seen,
        "superseded": tally.superseded,
        "lost": tally.lost,
        "undecided": tally.undecided,
        "duplicates": tally.duplicates,
        "strangers": tally.unexpected,
        "skipped": tally.skipped,
        "connections": tally.connections,
        "refusals": dict(tally.refusals),
        "p50_ms": _ms_number(tally.lateness, 50),
        "p99_ms": _ms_number(tally.lateness, 99),
        "longest_ms": round(tally.lateness.longest_s * 1000, 3),
        "longest_gap_s": round(tally.longest_gap_s, 3),
    }


def _ms(lateness: Lateness, percent: float) -> str:
    if not lateness.count:
        return "-"
    ms = lateness.percentile(percent) * 1000
    return f"{ms:,.1f}" if ms < 1000 else f"{ms:,.0f}"


def _ms_number(lateness: Lateness, percent: float) -> float | None:
    return round(lateness.percentile(percent) * 1000, 3) if lateness.count else None
