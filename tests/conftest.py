# SPDX-License-Identifier: BSD-3-Clause
"""Runs `async def` tests: on a clock that jumps, or, marked `sockets`, on real sockets."""

import asyncio
import inspect
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

SOCKET_TEST_LIMIT_S = 30.0
JUMPING_TEST_LIMIT_S = 10.0 * 365 * 86400


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: what the loop would have slept is added to its clock."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the test waits for something that nothing will ever do")
            self.jumped_s += timeout
        return ready


class JumpingClockLoop(asyncio.SelectorEventLoop):
    """An event loop on which two minutes of silence cost nothing."""

    def __init__(self) -> None:
        self._jumping_selector = _JumpingSelector()
        super().__init__(self._jumping_selector)

    def time(self) -> float:
        return 1000.0 + self._jumping_selector.jumped_s


def run_on_jumping_clock(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=JumpingClockLoop) as runner:
        runner.run(coroutine)


def run_on_real_clock(coroutine: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(SOCKET_TEST_LIMIT_S):
            await coroutine

    with asyncio.Runner() as runner:
        runner.run(limited())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    real = pyfuncitem.get_closest_marker("sockets") is not None
    run = run_on_real_clock if real else run_on_jumping_clock
    run(pyfuncitem.obj(**arguments))
    return True
