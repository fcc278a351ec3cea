# SPDX-License-Identifier: BSD-3-Clause
"""Applies changes of the credentials of devices while a gateway runs."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import OperatorError
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.messages import NodeEvent, NodeLeft, UidsSecured
from pyaiot.transport.timer import next_check

if TYPE_CHECKING:
    from pyaiot.accounts.device_credential import CredentialChanges

INTERVAL_S: Final = 0.5
"""Interval at which a gateway checks for added and removed credentials."""

UIDS_PER_MESSAGE: Final = 1000
"""Largest number of uids in one message about uids with a credential. More are sent in several
messages."""

log = logging.getLogger(__name__)


class DeviceWatch:
    """Refreshes the store. A node is evicted if its credential was removed, or if it has the
    uid of an added one without having used it."""

    def __init__(
        self,
        devices: DeviceStore,
        nodes: LiveNodes,
        loop: asyncio.AbstractEventLoop,
        unix_time: Callable[[], float],
        *,
        evict: Callable[[str], None],
        report: Callable[[Sequence[NodeEvent]], None],
        send: Callable[[UidsSecured], None],
    ) -> None:
        """`evict` removes a node, including its state in the protocol. `report` sends events to the
        broker, `send` a message, if there is a link."""
        self._unix_time = unix_time
        self._report = report
        self._send = send
        self._devices = devices
        self._nodes = nodes
        self._loop = loop
        self._evict = evict
        self._timer: asyncio.TimerHandle | None = None
        self._problem = ""
        self.changed: list[Callable[[CredentialChanges], None]] = []
        """Called before nodes are evicted, so that a protocol can close sessions."""

    def start(self) -> None:
        """Refresh now, and every `INTERVAL_S` until `close`."""
        self._timer = self._loop.call_at(next_check(self._loop.time(), INTERVAL_S), self.start)
        self.refresh()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._devices.close()

    def announcement(self) -> Iterator[UidsSecured | NodeLeft]:
        """All uids with a credential, and those whose credential was removed. They are sent at the
        beginning of a link: this gateway or the broker may not have run before."""
        yield from _secured(dict.fromkeys(it.uid for it in self._devices.credentials()))
        ts = self._unix_time()
        for uid in self._devices.released:
            yield NodeLeft(uid=uid, ts=ts, reason="left", unsecured=True)

    def refresh(self) -> None:
        """Apply changes since the last call."""
        try:
            changes = self._devices.refresh()
        except OperatorError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning("the credentials of devices are unchanged: %s", error)
            return
        self._problem = ""
        if not changes.added and not changes.removed:
            return
        for changed in self.changed:
            changed(changes)
        for message in _secured([it.uid for it in changes.added], follows=True):
            self._send(message)
        for credential in changes.removed:
            node = self._nodes.get(credential.uid)
            if node is not None and node.secured:
                # A device with another credential returns at once.
                self._evict(credential.uid)
            if not self._devices.is_secured(credential.uid):
                ts = self._unix_time()
                left = NodeLeft(uid=credential.uid, ts=ts, reason="left", unsecured=True)
                self._report([left])
        for credential in changes.added:
            node = self._nodes.get(credential.uid)
            if node is not None and not node.secured:
                self._evict(credential.uid)


def _secured(uids: Iterable[str], *, follows: bool = False) -> Iterator[UidsSecured]:
    """Messages with these uids. Without `follows`, the first message replaces all previous ones,
    even if it is empty."""
    left = list(uids)
    while left or not follows:
        yield UidsSecured(uids=tuple(left[:UIDS_PER_MESSAGE]), follows=follows)
        del left[:UIDS_PER_MESSAGE]
        follows = True
