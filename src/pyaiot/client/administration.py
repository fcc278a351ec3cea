# SPDX-License-Identifier: BSD-3-Clause
"""The audit log, alerts, the cluster and the mappings of topics, over the HTTP API."""

from abc import ABC, abstractmethod
from typing import Final, Literal

import msgspec

from pyaiot.client import mappings as topic_mappings
from pyaiot.client.address import path
from pyaiot.client.alerts import AlertRow, AlertRowState, alert_rows, edit_alerts
from pyaiot.client.api import HttpApi
from pyaiot.client.history import AuditRow, Moment, audit_rows, time_range
from pyaiot.client.mappings import MappingRow, TriedMapping
from pyaiot.model.topic_mapping import TopicMapping


class PeerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Another broker."""

    name: str
    address: str = ""
    """Its URL; empty if it is unknown, and for clients that are not admins."""
    version: str = ""
    state: Literal["joining", "online", "lost", "incompatible"]
    silent_s: float = 0.0
    """Seconds since its last packet."""
    lag_s: float = 0.0
    """Seconds since the broker that answered had the complete state of this one."""
    ahead_s: float = 0.0
    """Seconds by which its clock is ahead of that of the broker that answered; 0: they differ by
    at most 10 s."""
    nodes: int | None = None
    gateways: int | None = None
    """None: the client may not see it."""


class EmbeddedBrokerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of a cluster of embedded MQTT brokers."""

    address: str = ""
    """In `mqtt.cluster`; empty for clients that are not admins."""
    state: Literal["this one", "online", "lost"]
    shares: int = 0
    """Of the nodes, which its gateway serves."""


class ClusterRow(msgspec.Struct, frozen=True, kw_only=True):
    """The broker that answered, and the others."""

    in_cluster: bool
    """False: the broker is alone."""
    name: str = ""
    version: str = ""
    nodes: int | None = None
    gateways: int | None = None
    connected: bool = False
    """To a nats-server of the cluster."""
    problem: str = ""
    """Why it is not connected, for admins."""
    queued_bytes: int = 0
    """Bytes that wait to be sent to the nats-server."""
    peers: list[PeerRow] = []
    embedded_brokers: list[EmbeddedBrokerRow] = []
    """Empty: the MQTT broker is alone."""


_cluster: Final = msgspec.json.Decoder(ClusterRow)


async def cluster_row(api: HttpApi) -> ClusterRow:
    """Raises `ApiProblem` or `LinkLost`."""
    return api.decode(_cluster, await api.read("GET", path("cluster")), "a cluster")


class AdministrationClient(ABC):
    """Methods of a client for the administration of a broker. They need no live connection."""

    @property
    @abstractmethod
    def _api(self) -> HttpApi: ...

    async def audit(
        self,
        *,
        who: str | None = None,
        uid: str | None = None,
        action: str | None = None,
        result: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        limit: int = 100,
    ) -> list[AuditRow]:
        """The newest `limit` entries of the audit log, oldest first. It requires the role admin.

        `who`: `user:ada`, or its name. None: no condition. Raises `ApiProblem` or `LinkLost`.
        """
        conditions = {"who": who, "uid": uid, "action": action, "result": result}
        query = {name: text for name, text in conditions.items() if text is not None}
        return await audit_rows(self._api, query | time_range(start, end), limit)

    async def alerts(self, *states: AlertRowState) -> list[AlertRow]:
        """The alerts in these states, or all of them, the latest first: those that last before
        those that are cleared.

        Raises `ApiProblem` or `LinkLost`.
        """
        return await alert_rows(self._api, states)

    async def acknowledge(self, *ids: str) -> list[AlertRow]:
        """Take care of active alerts, by their `id`: all or none. Raises like `alerts`."""
        return await edit_alerts(self._api, ids, acknowledge=True)

    async def snooze(self, *ids: str, seconds: float) -> list[AlertRow]:
        """Snooze active alerts; 0 ends that. Raises like `alerts`."""
        return await edit_alerts(self._api, ids, snooze_s=seconds)

    async def cluster(self) -> ClusterRow:
        """The broker and the others of its cluster. Raises `ApiProblem` or `LinkLost`."""
        return await cluster_row(self._api)

    async def mappings(self) -> list[MappingRow]:
        """The mappings of plain MQTT topics, for admins. Raises `ApiProblem` or `LinkLost`."""
        return await topic_mappings.mapping_rows(self._api)

    async def try_mapping(self, mapping: TopicMapping, topic: str, payload: str) -> TriedMapping:
        """What a message would become. Nothing is saved. Raises like `mappings`."""
        return await topic_mappings.try_mapping(self._api, mapping, topic, payload)

    async def put_mapping(self, name: str, mapping: TopicMapping) -> MappingRow:
        """Add or replace a mapping; gateways use it at once. Raises like `mappings`."""
        return await topic_mappings.put_mapping(self._api, name, mapping)

    async def remove_mapping(self, name: str) -> None:
        """Remove a saved mapping; its nodes are offline then. Raises like `mappings`."""
        await topic_mappings.remove_mapping(self._api, name)
