# SPDX-License-Identifier: BSD-3-Clause
"""The foreign devices of a gateway: without credentials, and with credentials."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.accounts.device_credential import CredentialChanges
from pyaiot.errors import Refused
from pyaiot.gateways.gateway import Gateway, Outcome
from pyaiot.gateways.mqtt.base_topics import BaseTopics
from pyaiot.gateways.mqtt.dialect_access import FOREIGN_KINDS, TopicOwners
from pyaiot.gateways.mqtt.dialect_client import DialectClient
from pyaiot.gateways.mqtt.shared_broker import SecuredDevices
from pyaiot.messages import TopicMappings
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.mqtt.client import MqttServer


class ForeignDevices:
    """Has a client for each side of the MQTT broker, and tracks which side each node is on."""

    def __init__(
        self,
        gateway: Gateway,
        server: MqttServer,
        secured: SecuredDevices | None,
        dialects: Sequence[str],
        mappings: Sequence[TopicMapping],
        topics: BaseTopics,
        *,
        name: str,
        check_claim: Callable[[str], None],
    ) -> None:
        """`check_claim`: see `DialectNodes`; applies to devices without a credential."""
        self._gateway = gateway
        self._check_claim = check_claim
        self.open: Final = DialectClient(
            *(gateway, server, dialects, mappings, topics),
            name=name,
            check_claim=self._check_open_claim,
        )
        self._clients = [self.open]
        self._secured: DialectClient | None = None
        self._further: tuple[str, ...] = ()
        """Prefixes of uids that only devices with a credential may have."""
        self._is_used = asyncio.Event()
        """Set when a foreign device has a credential, and never cleared."""
        if secured is not None and dialects:
            self._secured = DialectClient(
                *(gateway, secured.server, dialects, (), topics),
                name=f"{name}, with credentials",
                check_claim=self._take_over,
                owners=TopicOwners(
                    lambda uid, kind: gateway.devices.credential(uid, kind) is not None
                ),
            )
            self._clients.append(self._secured)
            gateway.device_watch.changed.append(self._changed)
            secured.before_login(self._wait_until_served)
            self._look()
        gateway.on_mappings = self._map_topics

    @property
    def not_understood(self) -> int:
        return sum(client.nodes.not_understood for client in self._clients)

    def owns(self, uid: str) -> bool:
        """Whether a node is a foreign device."""
        return any(client.nodes.owns(uid) for client in self._clients)

    @property
    def uids(self) -> list[str]:
        """The nodes that are foreign devices, online or not."""
        return [uid for client in self._clients for uid in client.nodes.uids]

    async def run(self, start: asyncio.Event) -> None:
        """Stay connected until cancelled, once `start` is set."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.open.run(start), name="mqtt foreign devices")
            if self._secured is not None:
                await self._is_used.wait()
                tasks.create_task(self._secured.run(start), name="mqtt foreign devices, secured")

    async def _wait_until_served(self) -> None:
        """Wait until messages of devices with a credential are received, if there are any."""
        if self._secured is not None and self._is_used.is_set():
            await self._secured.has_connected.wait()

    async def write(self, uid: str, resource: str, payload: str) -> Outcome:
        """See `DeviceSide.write`. Only for nodes for which `owns` is true."""
        client = next(it for it in self._clients if it.nodes.owns(uid))
        return await client.write(uid, resource, payload)

    def _map_topics(self, message: TopicMappings) -> None:
        self.open.nodes.map_topics(message.mappings)

    def _check_open_claim(self, uid: str) -> None:
        if self._further and uid.startswith(self._further):
            raise Refused(f"nodes such as {uid} have a credential, and this claim has none")
        if self._secured is not None and self._secured.nodes.owns(uid):
            raise Refused(f"the node {uid} has a credential, and this claim has none")
        self._check_claim(uid)

    def _take_over(self, uid: str) -> None:
        """A device with a credential takes this node over from a device without one."""
        if self.open.nodes.owns(uid):
            self.open.nodes.release(uid)

    def _look(self) -> None:
        """Update the uids that are reserved for credentials."""
        further = []
        for it in self._gateway.devices.credentials():
            access = FOREIGN_KINDS.get(it.kind)
            if access is not None:
                self._is_used.set()
                if access.further:
                    further.append(access.further.format(uid=it.uid))
        self._further = tuple(dict.fromkeys(further))

    def _changed(self, changes: CredentialChanges) -> None:
        self._look()
        for it in changes.removed:
            if it.kind in FOREIGN_KINDS and self._secured is not None:
                for uid in self._secured.nodes.nodes_of(it.uid):
                    self._secured.nodes.release(uid)
