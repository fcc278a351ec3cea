# SPDX-License-Identifier: BSD-3-Clause
"""Gateways that are away: their link is lost, and they have some time to connect again.

A broker that did not run for a while (SIGSTOP, a machine that was suspended or moved) finds links
closed when it runs again: nobody answered the pings of its gateways. That is not their fault, so
their nodes stay until the gateways have had time to connect again.
"""

from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.broker.deliveries import Delivery, receipts_of
from pyaiot.broker.fanout import Scheduler
from pyaiot.broker.router import Router

PAUSED_MIN_S: Final = 10.0
"""The broker was paused if it did not run for this long. A gateway waits longer for a pong."""
NOTICED_LIMIT_S: Final = 5.0
"""After a pause, links that end within this time ended because of it."""
RETURN_LIMIT_S: Final = 30.0
"""Time for their gateways to connect again, the longest pause between two attempts. Then their
nodes are offline."""
_TICK_S: Final = 5.0


class AwayGateways:
    """Decides what the end of a link means. Must be used on the event loop of the broker."""

    def __init__(
        self,
        router: Router,
        timer: Scheduler,
        clock: Callable[[], float],
        *,
        deliver: Callable[[Sequence[Delivery]], None],
        lose: Callable[[int], None],
    ) -> None:
        """`lose` ends a gateway and its nodes. `clock` is the one of the router."""
        self._router = router
        self._timer = timer
        self._clock = clock
        self._deliver = deliver
        self._lose = lose
        self._due: float | None = None
        """When the next tick of `watch` is due; None: it is not running."""
        self._excused_until: float | None = None

    def watch(self, is_needed: Callable[[], bool]) -> None:
        """Notice pauses of this process for as long as `is_needed` returns true. Can be repeated,
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
        """The link of a gateway has ended: the gateway is lost, or after a pause away."""
        if self._was_paused():
            self.set_away(gateway, limit_s=RETURN_LIMIT_S)
        else:
            self._lose(gateway)

    def set_away(self, gateway: int, *, limit_s: float) -> None:
        """Its nodes stay until it connects again, at most this long. If it would not be recognised
        then, it is lost now."""
        known = self._router.gateways.get(gateway)
        if known is None:
            return
        if not known.can_return:
            self._lose(gateway)
            return
        self._deliver(gateway_away(self._router, gateway, self._clock()))
        self._timer.call_later(limit_s, lambda: self._lose(gateway))

    def _was_paused(self) -> bool:
        """Whether the process was paused, and runs again for at most `NOTICED_LIMIT_S`."""
        now = self._timer.time()
        if self._due is not None and now - self._due > PAUSED_MIN_S:
            self._excused_until = now + NOTICED_LIMIT_S
        return self._excused_until is not None and now < self._excused_until


def gateway_away(router: Router, gateway: int, now: float) -> Sequence[Delivery]:
    """The link of a gateway, of this broker or another one, is down. It has time to connect again:
    only its commands end."""
    away = router.gateways.get(gateway)
    if away is None or away.is_away:
        return ()
    away.is_away = True
    return receipts_of(router.commands.gateway_lost(gateway, now))
