# SPDX-License-Identifier: BSD-3-Clause
"""Gateways that are away: their link is lost, and they have some time to connect again.

A broker that did not run for a while (SIGSTOP, a machine that was suspended or moved) finds closed
links when it continues, because it did not answer the pings of its gateways. Therefore their nodes
stay online until the gateways have had time to connect again.
"""

from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.broker.deliveries import Delivery, receipts_of
from pyaiot.broker.fanout import Scheduler
from pyaiot.broker.router import Router

PAUSED_MIN_S: Final = 10.0
"""Shortest time without running that counts as a pause. A gateway waits longer for a pong."""
NOTICED_LIMIT_S: Final = 5.0
"""Links that end within this time after a pause ended because of it."""
RETURN_LIMIT_S: Final = 30.0
"""Time for these gateways to connect again: their longest pause between two attempts. After that,
their nodes are offline."""
_TICK_S: Final = 5.0


class AwayGateways:
    """Decides whether a gateway whose link ends is lost or away. Must be used on the event loop of
    the broker."""

    def __init__(
        self,
        router: Router,
        timer: Scheduler,
        clock: Callable[[], float],
        *,
        deliver: Callable[[Sequence[Delivery]], None],
        lose: Callable[[int], None],
    ) -> None:
        """`lose` removes a gateway and its nodes. `clock` is that of the router."""
        self._router = router
        self._timer = timer
        self._clock = clock
        self._deliver = deliver
        self._lose = lose
        self._due: float | None = None
        """When the next tick of `watch` is due; None if it is not running."""
        self._excused_until: float | None = None

    def watch(self, is_needed: Callable[[], bool]) -> None:
        """Notice pauses of this process as long as `is_needed` returns true. May be called again
        with the same function."""
        if self._due is not None:
            return

        def tick() -> None:
            self._was_paused()
            self._due = None
            if is_needed():
                self.watch(is_needed)

        self._due = self._timer.time() + _TICK_S
        self._timer.call_later(_TICK_S, tick)

    def link_lost(self, gateway: int) -> None:
        """The link of a gateway has ended: the gateway is lost, or, after a pause, away."""
        if self._was_paused():
            self.set_away(gateway, limit_s=RETURN_LIMIT_S)
        else:
            self._lose(gateway)

    def set_away(self, gateway: int, *, limit_s: float) -> None:
        """Keep its nodes until it connects again, at most for this time. A gateway that could not
        be recognised is lost at once."""
        known = self._router.gateways.get(gateway)
        if known is None:
            return
        if not known.can_return:
            self._lose(gateway)
            return
        self._deliver(gateway_away(self._router, gateway, self._clock()))
        self._timer.call_later(limit_s, lambda: self._lose(gateway))

    def _was_paused(self) -> bool:
        """Whether the process was paused and has run again for at most `NOTICED_LIMIT_S`."""
        now = self._timer.time()
        if self._due is not None and now - self._due > PAUSED_MIN_S:
            self._excused_until = now + NOTICED_LIMIT_S
        return self._excused_until is not None and now < self._excused_until


def gateway_away(router: Router, gateway: int, now: float) -> Sequence[Delivery]:
    """The link of a gateway, of this broker or of another one, is down. It has time to connect
    again; only its commands end."""
    away = router.gateways.get(gateway)
    if away is None or away.is_away:
        return ()
    away.is_away = True
    return receipts_of(router.commands.gateway_lost(gateway, now))
