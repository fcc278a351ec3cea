# SPDX-License-Identifier: BSD-3-Clause
"""The two sides of the embedded MQTT broker: devices with a user name and password, and the others.

The gateway is a client on both. A named MQTT broker has one side, because it decides itself which
clients may publish.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final

from pyaiot.accounts.device_credential import CredentialChanges
from pyaiot.errors import Refused
from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.mqtt.dialect_access import FOREIGN_KINDS
from pyaiot.gateways.mqtt.settings import PASSWORD_KIND
from pyaiot.gateways.mqtt.shared_broker import SecuredDevices
from pyaiot.mqtt.client import MqttClient
from pyaiot.mqtt.server import MqttServer
from pyaiot.protocols.mqtt.node_topics import DISCOVER_RESOURCES, discover_topic

FIRST_LINK_LIMIT_S: Final = 5.0
"""Seconds for which the gateway waits for its first link to the broker before it connects to the
MQTT broker, so that all stored messages are forwarded. After that it connects without a link, and
only the latest values survive."""
PROOF_AFTER_S: Final = 20.0
"""A message on `node/check` proves nothing: other devices can publish there. If a node with a
credential has been silent for this long, the gateway then requests its resources."""
PROOF_INTERVAL_S: Final = 5.0
"""Shortest interval between two such requests to one node."""


class Side:
    """One side, and the client of the gateway there."""

    def __init__(
        self, server: MqttServer, connect: Callable[["Side"], MqttClient], *, secured: bool
    ) -> None:
        self.server = server
        self.secured = secured
        """Whether its devices have proved their uid."""
        self.client = connect(self)


class Sides:
    """Tracks which side each node is on."""

    def __init__(
        self,
        gateway: Gateway,
        server: MqttServer,
        secured: SecuredDevices | None,
        connect: Callable[[MqttServer, Side], MqttClient],
    ) -> None:
        """`secured` None: there is only one side. `connect` creates the client of a side."""
        self._gateway = gateway
        self._devices = secured
        self.open = Side(server, partial(connect, server), secured=False)
        self._secured = self.open
        self.all = [self.open]
        self._last_request_at: dict[str, float] = {}
        """Contains only devices with a password, so it is bounded."""
        self._has_passwords = asyncio.Event()
        """Set when a device has a password, and never cleared."""
        self.has_foreign = asyncio.Event()
        """Set when a foreign device has one, and never cleared."""
        if secured is not None:
            self._secured = Side(secured.server, partial(connect, secured.server), secured=True)
            self.all.append(self._secured)
            gateway.device_watch.changed.append(self._changed)
            secured.before_login(self._wait_until_served)
            self._look_for_passwords()

    @property
    def logins_refused(self) -> int:
        return 0 if self._devices is None else self._devices.refused()

    def in_use(self) -> list[Side]:
        """The sides that may have nodes."""
        return [side for side in self.all if not side.secured or self._has_passwords.is_set()]

    async def run_client(self, side: Side) -> None:
        """Run the client of a side until cancelled, once the side can have nodes."""
        await self.is_needed(side)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LINK_LIMIT_S):
                await self._gateway.was_linked.wait()
        await side.client.run()

    async def is_needed(self, side: Side) -> None:
        """Wait until the side may have nodes. Most gateways do not need the second connection."""
        if side.secured:
            await self._has_passwords.wait()

    async def leave(self) -> None:
        """Receive nothing more. What comes now is for the next client of each session."""
        await asyncio.gather(*(side.client.leave() for side in self.in_use()))

    async def _wait_until_served(self) -> None:
        """Wait until messages of devices with a password are received, if there are such
        devices."""
        self._gateway.device_watch.refresh()
        if self._has_passwords.is_set():
            await self._secured.client.has_connected.wait()

    def client_of(self, uid: str) -> MqttClient:
        """The client that reaches a node that is online."""
        node = self._gateway.nodes.get(uid)
        return (self._secured if node is not None and node.secured else self.open).client

    def check_claim(self, side: Side, uid: str) -> None:
        """Raises `Refused` if a client of this side may not publish as this node."""
        store = self._gateway.devices
        if not side.secured:
            if store.is_secured(uid):
                raise Refused(f"the node {uid} has a credential, and this claim has none")
        elif store.credential(uid, PASSWORD_KIND) is None:
            # The MQTT broker may have a newer list of credentials.
            self._gateway.device_watch.refresh()
            if store.credential(uid, PASSWORD_KIND) is None:
                raise Refused(f"the device {uid} has no credential")

    def request_proof(self, uid: str, *, now: float) -> None:
        """Handle an id that a device with a credential published on `node/check`, where all such
        devices may publish. Only the node itself can answer a request, which is sent on its own
        topics."""
        last_seen = self._gateway.nodes.last_seen(uid)
        if last_seen is not None and now - last_seen < PROOF_AFTER_S:
            return
        if now - self._last_request_at.get(uid, float("-inf")) >= PROOF_INTERVAL_S:
            self._last_request_at[uid] = now
            self._secured.client.publish(discover_topic(uid), DISCOVER_RESOURCES)

    def _look_for_passwords(self) -> None:
        for it in self._gateway.devices.credentials():
            if it.kind == PASSWORD_KIND or it.kind in FOREIGN_KINDS:
                self._has_passwords.set()
            if it.kind in FOREIGN_KINDS:
                self.has_foreign.set()

    def _changed(self, changes: CredentialChanges) -> None:
        self._look_for_passwords()
        kinds = {PASSWORD_KIND, *FOREIGN_KINDS}
        removed = [it.uid for it in changes.removed if it.kind in kinds]
        for uid in removed:
            self._last_request_at.pop(uid, None)
        if removed and self._devices is not None:
            self._devices.disconnect(removed)
