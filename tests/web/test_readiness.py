# SPDX-License-Identifier: BSD-3-Clause
"""Readiness checks are shared by simultaneous requests, and time out."""

import asyncio

import pytest

from pyaiot.web.readiness import ANSWER_AGE_MAX_S, CHECK_LIMIT_S, Readiness
from tests.web.serving import serving


class Part:
    def __init__(self, problem: str = "", *, takes_s: float = 0.1) -> None:
        self.problem = problem
        self.takes_s = takes_s
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        await asyncio.sleep(self.takes_s)
        return self.problem


async def test_two_hundred_simultaneous_requests_run_one_check() -> None:
    part, other = Part(), Part("broken")
    readiness = Readiness({"part": part, "other": other})
    answers = await asyncio.gather(*(readiness.problems() for _ in range(200)))
    assert answers == [{"part": "", "other": "broken"}] * 200
    assert (part.calls, other.calls) == (1, 1)


async def test_result_is_reused_for_half_a_second() -> None:
    part = Part()
    readiness = Readiness({"part": part})
    await readiness.problems()
    part.problem = "broken"
    assert await readiness.problems() == {"part": ""}
    await asyncio.sleep(ANSWER_AGE_MAX_S)
    assert await readiness.problems() == {"part": "broken"}
    assert part.calls == 2


async def test_part_that_never_answers_fails_and_delays_no_other() -> None:
    part, stuck = Part(), Part(takes_s=1e6)
    readiness = Readiness({"stuck": stuck, "part": part})
    began = asyncio.get_running_loop().time()
    assert await readiness.problems() == {"stuck": "no answer in 5 s", "part": ""}
    assert asyncio.get_running_loop().time() - began == pytest.approx(CHECK_LIMIT_S, abs=0.01)


async def test_cancelled_request_does_not_cancel_the_others() -> None:
    readiness = Readiness({"part": Part("broken")})
    first = asyncio.ensure_future(readiness.problems())
    second = asyncio.ensure_future(readiness.problems())
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second == {"part": "broken"}


async def test_close_cancels_running_checks() -> None:
    readiness = Readiness({"stuck": Part(takes_s=1e6)})
    checking = asyncio.ensure_future(readiness.problems())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await readiness.close()
    with pytest.raises(asyncio.CancelledError):
        await checking


@pytest.mark.sockets
async def test_simultaneous_requests_join_the_broker_once() -> None:
    async with serving() as served:
        joined = 0
        connected = served.broker.client_connected

        def counted(*args: object, **options: object) -> object:
            nonlocal joined
            joined += 1
            return connected(*args, **options)  # type: ignore[arg-type]

        served.broker.client_connected = counted  # type: ignore[method-assign,assignment]
        answers = await asyncio.gather(*(served.json("/readyz") for _ in range(50)))
        assert {answer["status"] for answer in answers} == {"ready"}
        assert joined <= 5
