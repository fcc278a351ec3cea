# SPDX-License-Identifier: BSD-3-Clause
"""The timer of state machines, on asyncio and uvloop, which differ for a time in the past."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from pyaiot.transport.timer import EARLY_S, Timer, next_check, wait_for_check

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.mark.parametrize("loop", FACTORIES)
def test_time_in_the_past_calls_at_once_and_can_be_set_again(loop: str) -> None:
    async def call_twice() -> None:
        running = asyncio.get_running_loop()
        calls: asyncio.Queue[float] = asyncio.Queue()
        timer = Timer(running, lambda: calls.put_nowait(running.time()))
        for _ in range(2):
            timer.set(running.time() - 1.0)
            timer.set(running.time() - 0.5)
            timer.set(running.time() + 60.0)
            timer.set(None)
            async with asyncio.timeout(5.0):
                await calls.get()
        assert calls.empty()

    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        runner.run(call_twice())


async def test_timer_calls_once_at_the_earliest_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    calls: list[float] = []
    timer = Timer(loop, lambda: calls.append(loop.time() - began))
    for after_s in (30.0, 10.0, 20.0):
        timer.set(began + after_s)
    await asyncio.sleep(60.0)
    assert calls == pytest.approx([10.0])


async def test_cancelled_timer_does_not_call() -> None:
    loop = asyncio.get_running_loop()
    calls: list[None] = []
    timer = Timer(loop, lambda: calls.append(None))
    timer.set(loop.time() + 1.0)
    timer.cancel()
    await asyncio.sleep(2.0)
    assert not calls


@pytest.mark.parametrize(
    ("now", "at"),
    [(10.0, 10.5), (10.2, 10.5), (10.489, 10.5), (10.5, 11.0)],
)
def test_checks_are_made_at_multiples_of_their_interval(now: float, at: float) -> None:
    assert next_check(now, 0.5) == at


def test_a_check_that_is_called_early_is_not_repeated() -> None:
    assert next_check(10.4995, 0.5) == 11.0


async def test_checks_of_different_intervals_are_made_together() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.123)
    for interval_s in (0.5, 1.0, 0.05):
        await wait_for_check(interval_s)
        assert (loop.time() + EARLY_S) % interval_s < 2 * EARLY_S
