# SPDX-License-Identifier: BSD-3-Clause
"""Figures, and the tables that show them."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

Reached = Literal["yes", "no", "-"]


@dataclass(frozen=True)
class Figure:
    """A figure: value, target, and CPU time of the server per unit of work."""

    group: str
    name: str
    value: float
    unit: str
    cpu_us: float | None = None
    """CPU time of the server process (user and system) per unit of work, in microseconds."""
    per: str = ""
    """The unit of work."""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def reached(self) -> Reached:
        if self.at_most is None and self.at_least is None:
            return "-"
        low = self.at_least is not None and self.value < self.at_least
        high = self.at_most is not None and self.value > self.at_most
        return "no" if low or high else "yes"

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {number(self.at_most)}"
        return "" if self.at_least is None else f"≥ {number(self.at_least)}"

    def cells(self) -> list[str]:
        cpu = "" if self.cpu_us is None else f"{duration(self.cpu_us)} per {self.per}"
        return [
            self.name,
            f"{number(self.value)} {self.unit}".strip(),
            self.target,
            "" if self.reached == "-" else self.reached,
            cpu,
            self.note,
        ]


@dataclass(frozen=True)
class FanOutRow:
    """The result of one broker under one load."""

    clients: int
    load: str
    broker: str
    deliveries_per_s: float
    times_plain: float | None
    cpu_us: float
    """CPU time of the broker for each delivery, in microseconds."""
    core: float
    """Share of one core that the broker used."""
    lost: int | None
    """Deliveries expected and not made; None if not counted (see `conflated`)."""
    conflated: float | None
    """Share of the deliveries that a later reading of the same resource replaced."""
    note: str = ""

    def cells(self) -> list[str]:
        return [
            str(self.clients),
            self.load,
            self.broker,
            number(self.deliveries_per_s),
            "" if self.times_plain is None else f"{number(self.times_plain)} ×",
            f"{number(self.cpu_us)} µs",
            f"{self.core:.0%}" if self.core >= 0.1 else f"{self.core:.1%}",
            "" if self.lost is None else number(self.lost),
            "" if self.conflated is None else f"{self.conflated:.1%}",
            self.note,
        ]


FIGURE_HEAD: Final = ("figure", "measured", "target", "reached", "server CPU", "remark")
FAN_OUT_HEAD: Final = (
    "clients",
    "load",
    "broker",
    "deliveries/s",
    "to plain",
    "CPU each",
    "core",
    "lost",
    "conflated",
    "remark",
)


@dataclass
class Results:
    """The results of one run."""

    machine: dict[str, str]
    figures: list[Figure] = field(default_factory=list)
    fan_out: list[FanOutRow] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    others_cores: float = 0.0
    """Cores used by other processes, on average. It should be near 0."""

    def as_json(self) -> str:
        figures = [{**asdict(figure), "reached": figure.reached} for figure in self.figures]
        return json.dumps({**asdict(self), "figures": figures}, indent=1, ensure_ascii=False)

    def as_text(self, *, markdown: bool) -> str:
        draw = markdown_table if markdown else text_table
        parts = [", ".join(f"{name} {value}" for name, value in self.machine.items())]
        if self.figures:
            parts.append(draw(FIGURE_HEAD, [figure.cells() for figure in self.figures]))
        if self.fan_out:
            parts.append(draw(FAN_OUT_HEAD, [row.cells() for row in self.fan_out]))
        parts += [f"Not measured: {failure}" for failure in self.failures]
        judged = [figure for figure in self.figures if figure.reached != "-"]
        reached = sum(figure.reached == "yes" for figure in judged)
        parts.append(
            f"{reached} of {len(judged)} targets reached, in {self.seconds:.0f} s; "
            f"other processes used {self.others_cores:.2f} cores meanwhile."
        )
        return "\n\n".join(parts) + "\n"


def busy_s() -> float:
    """CPU time of all processes of this machine in seconds (proc(5), /proc/stat)."""
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=8)[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def own_s() -> float:
    """CPU time of this process and its ended children in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def number(value: float) -> str:
    """Three significant digits, with thousands separators."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".rstrip("0").rstrip(".")


def duration(us: float) -> str:
    """In microseconds, or milliseconds from 1 ms."""
    return f"{number(us)} µs" if us < 1000 else f"{number(us / 1000)} ms"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def this_machine() -> dict[str, str]:
    """The hardware and versions that figures depend on."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    versions = {
        name: metadata.version(name)
        for name in ("aiohttp", "uvloop", "msgspec", "aiocoap")
        if any(True for _ in metadata.distributions(name=name))
    }
    return {
        "cores": f"{len(os.sched_getaffinity(0))} × {model}",
        "Linux": platform.release().partition("-")[0],
        "Python": platform.python_version(),
        **versions,
    }
