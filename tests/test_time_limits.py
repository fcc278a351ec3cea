# SPDX-License-Identifier: BSD-3-Clause
"""The time limits of other tests: what counts, and what does not."""

import asyncio
from pathlib import Path

import pytest

from tests.time_limits import Stopwatch, time_limit

SECOND_NS = 10**9


class Machine:
    """A clock, and processes as `/proc` shows them."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.now = 100.0

    def thread(self, pid: int, thread: int, *, waited_s: float, children: str = "") -> None:
        folder = self.proc / f"{pid}" / "task" / f"{thread}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schedstat").write_text(f"{SECOND_NS} {round(waited_s * SECOND_NS)} 7\n")
        (folder / "children").write_text(children)

    def stopwatch(self, pid: int) -> Stopwatch:
        return Stopwatch(pid, proc=self.proc, clock=lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_time_in_which_a_process_waits_for_a_processor_does_not_count(machine: Machine) -> None:
    machine.thread(1, 1, waited_s=50.0)
    watch = machine.stopwatch(1)
    machine.now += 10.0
    machine.thread(1, 1, waited_s=57.0)
    assert watch.elapsed_s == pytest.approx(3.0)


def test_of_the_threads_of_a_process_the_one_counts_that_waited_longest(machine: Machine) -> None:
    machine.thread(1, 1, waited_s=0.0)
    watch = machine.stopwatch(1)
    machine.now += 10.0
    machine.thread(1, 1, waited_s=2.0)
    machine.thread(1, 2, waited_s=4.0)
    assert watch.elapsed_s == pytest.approx(6.0)


def test_waits_of_processes_that_it_started_do_not_count_either(machine: Machine) -> None:
    machine.thread(1, 1, waited_s=0.0, children="2 ")
    machine.thread(2, 2, waited_s=5.0)
    watch = machine.stopwatch(1)
    machine.now += 10.0
    machine.thread(2, 2, waited_s=6.0, children="3 ")
    machine.thread(3, 3, waited_s=2.0)
    assert watch.elapsed_s == pytest.approx(7.0)


def test_without_proc_all_time_counts(machine: Machine) -> None:
    watch = machine.stopwatch(1)
    machine.now += 10.0
    assert watch.elapsed_s == 10.0


@pytest.mark.sockets
async def test_what_waits_longer_than_its_limit_is_ended() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(0.02):
            await asyncio.Event().wait()


@pytest.mark.sockets
async def test_what_ends_in_time_is_left_alone() -> None:
    async with time_limit(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


@pytest.mark.sockets
async def test_limit_ends_although_others_always_have_the_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stopwatch, "elapsed_s", 0.0)
    with pytest.raises(TimeoutError):
        async with time_limit(0.02):
            await asyncio.Event().wait()
