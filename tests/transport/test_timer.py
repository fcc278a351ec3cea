# SPDX-License-Identifier: BSD-3-Clause
"""The timer of machines, on both loops: that of uvloop is another where the time is past."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from pyaiot.transport.timer import Timer

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.mark.parametrize("loop", FACTORIES)
def test_alarm_that_is_set_to_the_past_rings_at_once_and_can_be_set_again(loop: str) -> None:
    async def ring_twice() -> None:
        running = asyncio.get_running_loop()
        rung: asyncio.Queue[float] = asyncio.Queue()
        alarm = Timer(running, lambda: rung.put_nowait(running.time()))
        for _ in range(2):
            alarm.set(running.time() - 1.0)
            alarm.set(running.time() - 0.5)
            alarm.set(running.time() + 60.0)
            alarm.set(None)
            async with asyncio.timeout(5.0):
                await rung.get()
        assert rung.empty()

    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        runner.run(ring_twice())


async def test_alarm_rings_once_at_the_earliest_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    rung: list[float] = []
    alarm = Timer(loop, lambda: rung.append(loop.time() - began))
    for after_s in (30.0, 10.0, 20.0):
        alarm.set(began + after_s)
    await asyncio.sleep(60.0)
    assert rung == pytest.approx([10.0])


async def test_cancelled_alarm_does_not_ring() -> None:
    loop = asyncio.get_running_loop()
    rung: list[None] = []
    alarm = Timer(loop, lambda: rung.append(None))
    alarm.set(loop.time() + 1.0)
    alarm.cancel()
    await asyncio.sleep(2.0)
    assert not rung
