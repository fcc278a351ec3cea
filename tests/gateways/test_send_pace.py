# SPDX-License-Identifier: BSD-3-Clause
"""A quiet gateway sends at once, a busy one gathers."""

import pytest

from pyaiot.gateways.send_pace import SENDS_AT_ONCE, SendPace
from pyaiot.links import GATHER_S


def test_sends_after_a_quiet_time_are_at_once() -> None:
    pace = SendPace()
    for send in range(int(SENDS_AT_ONCE)):
        assert pace.delay_s(5.0) == 0.0, send
        pace.sent(5.0)
    assert pace.delay_s(5.0) == GATHER_S


def test_busy_gateway_sends_once_in_the_interval() -> None:
    pace = SendPace()
    now, sends = 0.0, 0
    while now < 1.0:
        now += max(pace.delay_s(now), 0.0001)
        pace.sent(now)
        sends += 1
    assert sends == pytest.approx(1.0 / GATHER_S + SENDS_AT_ONCE, abs=2)


def test_pace_below_the_interval_is_never_delayed() -> None:
    pace = SendPace()
    for send in range(100):
        now = send * GATHER_S * 1.01
        assert pace.delay_s(now) == 0.0
        pace.sent(now)
