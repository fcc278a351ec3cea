# SPDX-License-Identifier: BSD-3-Clause
"""What a fleet tells of itself: a line while it runs, a table or JSON at the end. Pure."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from pyaiot.fleet.lateness import Lateness
from pyaiot.fleet.ledger import Account

TITLES: Final = (
    *("protocol", "nodes", "sent", "acked", "seen", "superseded", "lost", "twice"),
    *("p50 ms", "p99 ms"),
)
WIDTHS: Final = (9, 6, 9, 9, 9, 11, 7, 6, 7, 7)
"""80 characters in all."""
GAP_TOLD_S: Final = 1.0
"""Silences of a whole protocol that are longer are told."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run. `accounts` were closed."""

    accounts: list[Account]
    total: Account
    seconds: float
    """How long readings were sent."""
    asked_per_s: float
    commands_sent: int
    commands_ended: Counter[str]
    commands_lateness: Lateness
    broker_connections: int
    cpu_s: float
    """Of the whole process, while readings were sent."""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if something acknowledged was lost, or something came that nobody sent."""
        return 1 if self.total.lost or self.total.strangers else 0


def table(report: Report) -> str:
    """Lines of at most 80 characters up to some hundred million readings, for people."""
    lines = [_row(TITLES)]
    lines += [_row(_cells(account)) for account in report.accounts]
    if len(report.accounts) > 1:
        lines.append(_row(_cells(report.total)))
    total = report.total
    lines.append("")
    lines.append(
        f"Sent {total.sent / report.seconds:,.0f} of {report.asked_per_s:,.0f} readings a second"
        f" for {report.seconds:,.0f} s, with {100 * report.cpu_s / report.seconds:.0f} % of a core."
    )
    if report.commands_sent:
        ended = ", ".join(f"{count:,} {state}" for state, count in report.commands_ended.items())
        late = report.commands_lateness
        took = f"; p50 {_ms(late, 50)} ms, p99 {_ms(late, 99)} ms" if late.count else ""
        lines.append(f"Commands: {report.commands_sent:,} sent, {ended or 'none ended'}{took}.")
    lines += _exceptions(report)
    if total.lost:
        lines.append(f"LOST: {total.lost:,} readings that were acknowledged never arrived.")
    if total.strangers:
        lines.append(f"WRONG: {total.strangers:,} values arrived that nobody sent.")
    if not report.exit_code:
        lines.append("No acknowledged reading was lost.")
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """For programs. Durations are in milliseconds where their name says so."""
    return {
        "seconds": round(report.seconds, 3),
        "asked_per_s": report.asked_per_s,
        "sent_per_s": round(report.total.sent / report.seconds, 1),
        "cpu_s": round(report.cpu_s, 3),
        "protocols": {account.protocol: _figures(account) for account in report.accounts},
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


def progress(total: Account, elapsed_s: float, per_s: float) -> str:
    """One line of at most 79 characters, while readings are sent: the cursor needs one too."""
    refused = sum(total.refusals.values())
    return (
        f"{elapsed_s:5.0f} s {per_s:6,.0f}/s {total.sent:10,} sent {total.acknowledged:10,} acked"
        f" {total.seen:10,} seen {refused:5,} refused"
    )


def _cells(account: Account) -> tuple[str, ...]:
    counts = (
        *(account.nodes, account.sent, account.acknowledged, account.seen, account.superseded),
        *(account.lost, account.duplicates),
    )
    late = account.lateness
    return (account.protocol, *map(_count, counts), _ms(late, 50), _ms(late, 99))


def _count(number: int) -> str:
    """With commas as long as there is room for them."""
    return f"{number:,}" if number < 1_000_000 else str(number)


def _row(cells: tuple[str, ...]) -> str:
    first, *others = cells
    widths = WIDTHS[1:]
    row = f"{first:<{WIDTHS[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(others, widths, strict=True)
    )
    return row.rstrip()


def _exceptions(report: Report) -> list[str]:
    """A line for each thing that a quiet run does not have."""
    lines = []
    for account in report.accounts:
        said = [f"{count:,} refused with {why}" for why, count in account.refusals.items()]
        if account.connections > account.nodes:
            said.append(f"{account.connections - account.nodes:,} connections anew")
        if account.skipped:
            said.append(f"{account.skipped:,} readings not made")
        if account.undecided:
            said.append(f"{account.undecided:,} neither acknowledged nor seen")
        if account.longest_gap_s > GAP_TOLD_S:
            said.append(f"nothing seen for {account.longest_gap_s:.1f} s")
        if said:
            lines.append(f"{account.protocol}: {'; '.join(said)}.")
    if report.broker_connections > 1:
        lines.append(f"The connection to the broker was made {report.broker_connections} times.")
    return [*lines, *report.notes]


def _figures(account: Account) -> dict[str, Any]:
    names = (
        *("nodes", "sent", "acknowledged", "seen", "superseded", "lost", "undecided"),
        *("duplicates", "strangers", "skipped", "connections"),
    )
    return {
        **{name: getattr(account, name) for name in names},
        "refusals": dict(account.refusals),
        "p50_ms": _ms_number(account.lateness, 50),
        "p99_ms": _ms_number(account.lateness, 99),
        "longest_ms": round(account.lateness.longest_s * 1000, 3),
        "longest_gap_s": round(account.longest_gap_s, 3),
    }


def _ms(lateness: Lateness, percent: float) -> str:
    if not lateness.count:
        return "-"
    ms = lateness.percentile(percent) * 1000
    return f"{ms:,.1f}" if ms < 1000 else f"{ms:,.0f}"


def _ms_number(lateness: Lateness, percent: float) -> float | None:
    return round(lateness.percentile(percent) * 1000, 3) if lateness.count else None
