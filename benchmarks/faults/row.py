# SPDX-License-Identifier: BSD-3-Clause
"""A row of the table, and its measurement."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.faults.load import Load
from benchmarks.faults.rig import Parts, Rig


@dataclass
class Row:
    """A row of the table."""

    fault: str
    served_s: float
    lost: str
    commands: str = "–"

    def line(self) -> str:
        return f"| {self.fault} | {self.served_s:.1f} s | {self.lost} | {self.commands} |"


MakeFault: TypeAlias = Callable[[Rig], None]


def fault(name: str, make: MakeFault, parts: Parts, more: str = "") -> Row:
    """Measure one fault under load. `more`: additional flags of the first process."""
    with Rig.running(parts, more) as rig:
        return measured(name, make, rig, parts)


def measured(
    name: str,
    make: MakeFault,
    rig: Rig,
    parts: Parts,
    *,
    headers: Mapping[str, str] | None = None,
    reading_headers: Mapping[str, str] | None = None,
) -> Row:
    """Measure a fault. The time begins when `make` returns: then the fault has ended.

    Ends the program if a command was carried out twice.
    """
    load = Load(parts.make_node, rig.device_port, rig.web_port, headers, reading_headers)
    with load:
        load.begin()
        time.sleep(2)
        make(rig)
        served_s = load.until_served()
        time.sleep(2)
        load.stop()
        lost = load.lost()
    if load.twice():
        raise SystemExit(f"{name}: {load.twice()} commands were carried out twice")
    receipts = load.receipts
    without = receipts.pop("none", 0)
    ended = ", ".join(f"{count} {state}" for state, count in sorted(receipts.items()) if count)
    return Row(
        name,
        served_s,
        f"{lost} of {len(load.acknowledged)} acknowledged readings",
        f"{without} without a receipt: {ended}",
    )
