# SPDX-License-Identifier: BSD-3-Clause
"""Fan-out: readings of one gateway to many clients, against a plain broker and bare writes.

All servers for one number of clients run at once and are measured in turn, A B C A B C, so that
disturbances of the machine affect all; figures are medians of the rounds. The plain broker is
stopped (SIGSTOP) between its loop, so that its backlog does not affect the others.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

from benchmarks.processes import BenchmarkError, Home, Server, Worker
from benchmarks.services import broker, plain_broker
from benchmarks.sizes import Size
from benchmarks.table import FanOutRow, Figure, Results, number

V2: Final = "pyaiot.v2"
LEGACY: Final = "legacy"
PLAIN: Final = "plain"
BARE: Final = "bare write"
PACES: Final = (100, 1000)
SATURATING: Final = 0
SATURATING_BATCH: Final = 50
"""Readings per frame of the gateway, or frames per send, in saturating load."""
QUIET_S: Final = 0.5
"""Deliveries that were conflated never come: after this long without any, the rest is not waited
for."""
PACED_QUIET_S: Final = 2.0
"""The same at a fixed rate, where what does not come counts as lost."""
DRAIN_LIMIT_S: Final = 4.0
FIRST_LIMIT_S: Final = 20.0
"""A saturating window without any delivery is extended until the first, at most by this."""
WARM_UP_S_MAX: Final = 0.3
KEPT_UP: Final = 0.9
"""A broker that delivered less than this share of a rate was overloaded."""
LIMIT_CORE: Final = 0.9
"""A broker that used less than this share of a core was not the bottleneck."""


@dataclass(frozen=True)
class Window:
    """The result of one broker under one load."""

    deliveries: int
    seconds: float
    cpu_s: float
    owed: int | None = None
    """Deliveries expected for the sent readings; None if the backlog was not drained."""
    made: int = 0
    """Of these, deliveries that arrived."""
    writes: int = 0
    bytes: int = 0
    drained: bool = True
    closed: int = 0
    """Clients that the broker disconnected."""
    generator_core: float = 0.0
    """Share of a core used by the process of the clients."""


@dataclass
class Subject:
    """A broker with its gateway and its clients."""

    name: str
    count: int
    server: Server
    gateway: Worker
    clients: Worker
    behind: bool = False
    """It was overloaded and still has a backlog."""

    def paced(self, rate: float, seconds: float) -> Window:
        """Load at a fixed rate, then wait until all deliveries have arrived."""
        before = self.clients.call("read")
        sent = self.gateway.call("send", rate=rate, seconds=seconds, batch=1)
        after, drained = self.wait_quiet(before["marks"] + sent["sent"] * self.count, PACED_QUIET_S)
        self.behind = not drained
        ended_at = after["last_read_at"] if drained else after["at"]
        took_s = max(seconds, ended_at - before["at"])
        return self._window(before, after, sent, took_s, drained=drained)

    def saturating(self, seconds: float, *, drain: bool) -> Window:
        """Load as fast as the broker accepts it; count deliveries in the window."""
        before = self.clients.call("read")
        sent = self.gateway.call("send", rate=0, seconds=seconds, batch=SATURATING_BATCH)
        after = self._wait_first(before["marks"])
        window = self._window(before, after, sent, after["at"] - before["at"], drained=False)
        if not drain:
            self.behind = True
            return window
        owed = sent["sent"] * self.count
        last, drained = self.wait_quiet(before["marks"] + owed)
        if not drained:
            self.behind = True
            return window
        return replace(window, owed=owed, made=last["marks"] - before["marks"])

    def _wait_first(self, marks: int) -> dict[str, Any]:
        """Wait until more than `marks` have arrived."""
        limit = time.monotonic() + FIRST_LIMIT_S
        while (read := self.clients.call("read"))["marks"] <= marks:
            if time.monotonic() > limit:
                raise BenchmarkError(f"{self.name}: nothing was delivered in {FIRST_LIMIT_S:.0f} s")
            time.sleep(0.01)
        return read

    def wait_quiet(self, marks: int, quiet_s: float = QUIET_S) -> tuple[dict[str, Any], bool]:
        """Wait until `marks` have arrived, none for `quiet_s`, or the limit. Whether it drained."""
        began = time.monotonic()
        limit = began + DRAIN_LIMIT_S
        while True:
            read = self.clients.call("read")
            if read["marks"] >= marks:
                return read, True
            # A broker that was not scheduled yet has not stopped delivering.
            if time.monotonic() - max(began, read["last_read_at"]) > quiet_s:
                return read, True
            if time.monotonic() > limit:
                return read, False
            time.sleep(0.01)

    def _window(
        self,
        before: dict[str, Any],
        after: dict[str, Any],
        sent: dict[str, Any],
        seconds: float,
        *,
        drained: bool,
    ) -> Window:
        made = after["marks"] - before["marks"]
        return Window(
            deliveries=made,
            seconds=seconds,
            cpu_s=after["server_cpu_s"] - before["server_cpu_s"],
            owed=sent["sent"] * self.count if drained else None,
            made=made,
            writes=after["reads"] - before["reads"],
            bytes=after["bytes"] - before["bytes"],
            drained=drained,
            closed=after["closed"] - before["closed"],
            generator_core=(after["own_cpu_s"] - before["own_cpu_s"])
            / (after["at"] - before["at"]),
        )

    def pause(self) -> None:
        if self.name == PLAIN:
            self.server.pause()

    def resume(self) -> None:
        if self.name == PLAIN:
            self.server.resume()


@dataclass
class Bare:
    """The lower bound: a process with the same input and the same writes."""

    count: int
    writer: Worker
    gateway: Worker

    def repeat(self, window: Window) -> Window:
        """Measure the same bytes in the same number of writes."""
        writes = max(1, window.writes)
        self.writer.call(
            "begin",
            readings_per_write=max(1.0, window.deliveries / writes),
            size=round(window.bytes / writes),
        )
        sent = self.gateway.call("send", rate=PACES[0], seconds=window.seconds, batch=1)
        done = self.writer.call("end")
        return Window(
            deliveries=sent["sent"] * self.count,
            seconds=window.seconds,
            cpu_s=done["cpu_s"],
            writes=done["writes"],
        )


Measured = dict[tuple[int, str], list[Window]]
"""By rate (readings per second; 0: saturating) and broker."""


def measure(results: Results, home: Home, size: Size) -> None:
    for count in size.fan_out_clients:
        measured = _measure_count(home, size, count)
        _report(results, measured, count)
        if count == size.fan_out_judged:
            _report_targets(results, measured, count)


def _measure_count(home: Home, size: Size, count: int) -> Measured:
    measured: Measured = defaultdict(list)
    with contextlib.ExitStack() as stack:
        subjects = [
            stack.enter_context(_subject(name, home, size, count)) for name in (V2, LEGACY, PLAIN)
        ]
        bare = stack.enter_context(_bare(home, size, count))
        for subject in subjects:
            subject.resume()
            subject.paced(PACES[0], min(WARM_UP_S_MAX, size.fan_out_window_s))
            subject.pause()
        for pace in (*PACES, SATURATING):
            for _ in range(size.fan_out_rounds):
                for subject in subjects:
                    _measure_once(measured, subject, pace, size.fan_out_window_s)
                    if pace == PACES[0] and subject.name == V2 and not subject.behind:
                        window = measured[pace, V2][-1]
                        measured[pace, BARE].append(bare.repeat(window))
    return measured


@contextlib.contextmanager
def _subject(name: str, home: Home, size: Size, count: int) -> Iterator[Subject]:
    """One broker with its gateway and clients, stopped until its turn."""
    server = plain_broker(home) if name == PLAIN else broker(home)
    with subject_of(name, server, home, size, count, v2=name == V2) as subject:
        subject.pause()
        yield subject


@contextlib.contextmanager
def subject_of(
    name: str, server: Server, home: Home, size: Size, count: int, *, v2: bool = True
) -> Iterator[Subject]:
    """A broker with a gateway and `count` clients. Ends the broker with the block."""
    with server:
        spec = {"port": server.port, "v2": v2}
        with (
            _gateway(home, size, spec) as gateway,
            Worker("clients", path="/ws", count=count, server_pid=server.pid, **spec) as clients,
        ):
            subject = Subject(name, count, server, gateway, clients)
            subject.wait_quiet(size.fan_out_nodes * count)
            yield subject


@contextlib.contextmanager
def _bare(home: Home, size: Size, count: int) -> Iterator[Bare]:
    with Worker("bare_write") as writer:
        spec = {"port": writer.ready["port"], "v2": True}
        with (
            Worker("clients", path="/", count=count, server_pid=writer.pid, join=False, **spec),
            _gateway(home, size, spec) as gateway,
        ):
            yield Bare(count, writer, gateway)


def _gateway(home: Home, size: Size, spec: dict[str, Any]) -> Worker:
    return Worker(
        "gateway",
        path="/gw",
        token=home.token(),
        nodes=size.fan_out_nodes,
        resources=1,
        # Prepared frames repeat: with their times, the history would get late readings only.
        dated=False,
        **spec,
    )


def _measure_once(measured: Measured, subject: Subject, pace: int, seconds: float) -> None:
    if pace and subject.behind:
        return  # it was overloaded at a lower rate
    subject.resume()
    if pace:
        window = subject.paced(pace, seconds)
    else:
        window = subject.saturating(seconds, drain=subject.name != PLAIN)
    subject.pause()
    measured[pace, subject.name].append(window)


def _load(pace: int) -> str:
    return f"{pace:,}/s" if pace else "saturating"


def _rate(windows: list[Window]) -> float:
    return median(window.deliveries / window.seconds for window in windows)


def _cpu_us(windows: list[Window]) -> float:
    return median(window.cpu_s / max(1, window.deliveries) for window in windows) * 1e6


def _core(windows: list[Window]) -> float:
    return median(window.cpu_s / window.seconds for window in windows)


def _report(results: Results, measured: Measured, count: int) -> None:
    for (pace, name), windows in measured.items():
        plain = measured.get((pace, PLAIN))
        saturating = pace == SATURATING
        owed = [window for window in windows if window.owed is not None]
        lost: int | None = None
        conflated: float | None = None
        if owed and saturating:
            conflated = 1 - sum(window.made for window in owed) / sum(
                window.owed or 0 for window in owed
            )
        elif len(owed) == len(windows) and name != BARE:
            lost = sum((window.owed or 0) - window.made for window in owed)
        results.fan_out.append(
            FanOutRow(
                clients=count,
                load=_load(pace),
                broker=name,
                deliveries_per_s=_rate(windows),
                times_plain=(
                    _rate(windows) / _rate(plain)
                    if plain and saturating and name in {V2, LEGACY}
                    else None
                ),
                cpu_us=_cpu_us(windows),
                core=_core(windows),
                lost=lost,
                conflated=conflated,
                note=_note(windows, name, count, pace),
            )
        )


def _note(windows: list[Window], name: str, count: int, pace: int) -> str:
    notes = []
    if pace and (
        _rate(windows) < pace * count * KEPT_UP or not all(window.drained for window in windows)
    ):
        notes.append("did not keep up")
    if closed := sum(window.closed for window in windows):
        notes.append(f"{closed} clients closed")
    if not pace and _core(windows) < LIMIT_CORE:
        generator_core = median(window.generator_core for window in windows)
        notes.append(f"the broker was not the limit; clients at {generator_core:.0%} of a core")
    if name == BARE:
        notes.append("the same bytes and writes as pyaiot.v2")
    return ", ".join(notes)


def _report_targets(results: Results, measured: Measured, count: int) -> None:
    """Report the figures that have a target."""
    saturating, (slow, fast) = SATURATING, PACES
    if not measured[slow, BARE] or not measured[fast, V2]:
        raise BenchmarkError(f"the broker did not keep up with {slow} updates/s")
    ours, plain = measured[saturating, V2], measured[saturating, PLAIN]
    legacy = measured[saturating, LEGACY]
    group = "fan-out"

    def add(name: str, value: float, unit: str, windows: list[Window], **target: Any) -> None:
        results.figures.append(
            Figure(
                group,
                f"fan-out to {count} clients, {name}",
                value,
                unit,
                cpu_us=_cpu_us(windows),
                per="delivery",
                **target,
            )
        )

    add("saturating", _rate(ours), "deliveries/s", ours, at_least=1e6)
    add(
        "saturating",
        _rate(ours) / _rate(plain),
        "× plain",
        ours,
        at_least=20,
        note=f"plain: {number(_rate(plain))}/s, {number(_cpu_us(plain))} µs each; "
        f"{number(_cpu_us(plain) / _cpu_us(ours))} × in CPU time",
    )
    add("saturating, legacy clients and gateway", _rate(legacy), "deliveries/s", legacy)
    add(
        "saturating, legacy clients and gateway",
        _rate(legacy) / _rate(plain),
        "× plain",
        legacy,
    )
    paced = measured[fast, V2]
    lost = sum((window.owed or 0) - window.made for window in paced)
    add("1,000 updates/s", 100 * _core(paced), "% of a core", paced, at_most=20)
    add("1,000 updates/s, lost", lost, "messages", paced, at_most=0)
    bare = measured[slow, BARE]
    write_us = median(window.cpu_s / max(1, window.writes) for window in bare) * 1e6
    ratios = [one.cpu_s / other.cpu_s for one, other in zip(measured[slow, V2], bare, strict=True)]
    each = f"bare: {number(_cpu_us(bare))} µs per delivery, {number(write_us)} µs per write"
    add(
        "100 updates/s, CPU per delivery",
        _cpu_us(measured[slow, V2]) / write_us,
        "× one bare write",
        measured[slow, V2],
        at_most=1.3,
        note=each,
    )
    add(
        "100 updates/s, all CPU",
        median(ratios),
        "× all bare writes",
        measured[slow, V2],
        note="the same readings received, the same bytes in the same number of writes",
    )
