# SPDX-License-Identifier: BSD-3-Clause
"""Enforces the quotas of the embedded MQTT broker: sets limits, and removes data before they are
reached.

`quotas.py` makes the decisions; this module sends the requests to nats-server.
"""

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pyaiot.errors import LinkLost, Refused
from pyaiot.mqtt.embedded import quotas
from pyaiot.mqtt.embedded.client_ids import ClientIds
from pyaiot.mqtt.embedded.machines import MqttCluster
from pyaiot.mqtt.embedded.nats_connection import NatsConnection
from pyaiot.mqtt.embedded.nats_settings import SYSTEM
from pyaiot.transport.rate_limit import RateLimitedLog

TURN_S: Final = 2.0
"""Interval between two checks of the quotas."""
FIRST_TURN_S: Final = 0.05
"""The same until nats-server has all its streams, which it creates when the first client
connects."""
RETAINED_TRIM_S: Final = 3600.0
"""Least time between two removals of the oldest half of the retained messages."""
CONNECTIONS_MAX: Final = 20_000
"""Connections of devices; half of the open files that the system allows if that is less. With more,
the newest ones of the address with the most connections are closed."""
EVICTIONS_MAX: Final = 4_000
"""Sessions that are removed in one check. The rest follows in the next one."""
BURST_REMOVED_MAX: Final = 50_000
"""Retained messages that are removed at once after a burst, the newest ones."""
OBSERVED_S: Final = 0.5
"""How long the traffic of each device is measured when publications accumulate."""
GATEWAY_PENDING_MAX: Final = 8 * 1024 * 1024
"""Bytes that wait in nats-server for the gateway, some seconds of its work. With more, the device
that publishes most is disconnected; others would be delayed."""
_PAGE: Final = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """The port of nats-server on loopback, and the passwords of two users."""

    port: int
    user: str
    """The enforcer of one account, whose streams it limits."""
    limits_connections: bool
    """Whether it also limits the connections, which are those of all accounts."""
    enforcer_password: str = field(repr=False)
    system_password: str = field(repr=False)


class QuotaEnforcer:
    """Enforces the quotas during one run of the child process."""

    def __init__(self, access: Access, ids: ClientIds, cluster: MqttCluster | None = None) -> None:
        self._access = access
        self._ids = ids
        self._is_clustered = cluster is not None
        self._log = RateLimitedLog(log)
        self._loop = asyncio.get_running_loop()
        own = {ids.gateway, ids.health} if cluster is None else cluster.all_ids
        self._own_ids = own
        self._own = [quotas.session_hash(name) for name in own]
        self._gateways = (ids.gateway, *(cluster.share_ids if cluster is not None else ()))
        self._retained_trimmed_at: float | None = None
        self._retained_burst = quotas.Burst()
        self._connections_max = min(
            CONNECTIONS_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2
        )
        self.full: str = ""
        """Which store that the gateway needs is full, for people; "" if none is."""
        self.checked = asyncio.Event()
        """Set after the first check, which removes data over a quota from an earlier run."""
        self.limited = asyncio.Event()
        """Set when all streams exist and have their limits."""

    async def run(self) -> None:
        """Enforce the quotas until cancelled; lost connections are opened again."""
        problem = ""
        while True:
            try:
                async with (
                    NatsConnection.open(
                        self._access.port, self._access.user, self._access.enforcer_password
                    ) as store,
                    NatsConnection.open(
                        self._access.port, SYSTEM, self._access.system_password
                    ) as system,
                ):
                    await self._forget_gateways(store)
                    while True:
                        await self._turn(store, system)
                        self.checked.set()
                        problem = ""
                        # An account for devices with a credential may have no streams for ever.
                        is_first = self._access.limits_connections and not self.limited.is_set()
                        await asyncio.sleep(FIRST_TURN_S if is_first else TURN_S)
            except (LinkLost, Refused) as error:
                if str(error) != problem:
                    problem = str(error)
                    log.warning("the quotas of the MQTT broker cannot be enforced: %s", error)
            await asyncio.sleep(TURN_S)

    async def _turn(self, store: NatsConnection, system: NatsConnection) -> None:
        full = ""
        limited = 0
        for stream in (await store.request("$JS.API.STREAM.LIST")).get("streams") or ():
            name, state = stream["config"]["name"], stream["state"]
            settings = quotas.limited(stream["config"])
            if settings is not None:
                await store.request(f"$JS.API.STREAM.UPDATE.{name}", settings)
            if name not in quotas.LIMITS:
                continue
            limited += 1
            burst = None
            if name == quotas.RETAINED:
                burst = self._retained_burst.observe(name, state, self._loop.time())
            if not quotas.is_filling(name, state):
                continue
            if burst is not None:
                await self._remove_burst(name, burst, store, system)
                continue
            await self._make_room(name, state, store, system)
            if name in (quotas.MESSAGES, quotas.SESSIONS) and quotas.is_full(name, state):
                full = f"the store for {quotas.NAMES[name]} is full"
        self.full = full
        if self._access.limits_connections:
            await self._close_surplus_connections(system)
            await self._relieve_gateway(system)
        if limited == len(quotas.LIMITS):
            self.limited.set()

    async def _make_room(
        self, name: str, state: dict[str, Any], store: NatsConnection, system: NatsConnection
    ) -> None:
        if name == quotas.RETAINED:
            await self._trim_retained(store)
        elif name == quotas.QOS2:
            await self._remove_shares(store, name, "$MQTT.qos2.in.", quotas.QOS2_SHARES, halve=True)
        elif name == quotas.SESSIONS:
            await self._evict_sessions(store, system)
        elif name == quotas.MESSAGES:
            if state["consumer_count"] > quotas.TRIM_SHARE * quotas.CONSUMERS_MAX:
                await self._evict_sessions(store, system)
            if state["bytes"] > quotas.TRIM_SHARE * quotas.MESSAGES_BYTES_MAX:
                await self._disconnect_busiest(system, "the gateway can process")

    def _warn(self, text: str, *details: object) -> None:
        self._log.warning(text, *details, now=self._loop.time())

    # -- retained messages, QoS 2 ---------------------------------------------------------------

    async def _trim_retained(self, store: NatsConnection) -> None:
        now = self._loop.time()
        # Each removal leaves some bytes in the index of nats-server, so it must be rare.
        halve = (
            self._retained_trimmed_at is None or now - self._retained_trimmed_at >= RETAINED_TRIM_S
        )
        await self._remove_shares(
            store,
            quotas.RETAINED,
            "$MQTT.rmsgs.",
            (quotas.RETAINED_PER_LEVEL_MAX,),
            halve=False,
            spared="node",
        )
        halved = await self._remove_shares(
            store,
            quotas.RETAINED,
            "$MQTT.rmsgs.node.",
            (quotas.RETAINED_PER_NODE_MAX,),
            halve=halve,
        )
        if halved:
            self._retained_trimmed_at = now

    async def _remove_burst(
        self, name: str, burst: range, store: NatsConnection, system: NatsConnection
    ) -> None:
        """Remove the messages that filled a store within seconds, and disconnect their device."""
        await self._disconnect_busiest(system, "its share")
        numbers = burst[-BURST_REMOVED_MAX:]
        answers = await store.request_all(
            [
                (f"$JS.API.STREAM.MSG.DELETE.{name}", {"seq": number, "no_erase": True})
                for number in numbers
            ]
        )
        # Those that were replaced meanwhile no longer exist.
        removed = sum(not isinstance(answer, Refused) for answer in answers)
        self._warn(
            "MQTT broker: the store for %s was filled within seconds; the newest %s were removed",
            quotas.NAMES[name],
            removed,
        )

    async def _remove_shares(
        self,
        store: NatsConnection,
        name: str,
        prefix: str,
        shares: Sequence[int],
        *,
        halve: bool,
        spared: str = "",
    ) -> bool:
        """Remove the messages of owners over the first of `shares`, then of those over the next
        ones as long as the store is more than half full, and then the oldest half.

        Returns whether the oldest half was removed.
        """
        for share in shares:
            info = await store.request(
                f"$JS.API.STREAM.INFO.{name}", {"subjects_filter": f"{prefix}>"}
            )
            if not quotas.is_filling(name, info["state"]):
                return False
            subjects = info["state"].get("subjects") or {}
            for subject in quotas.over_their_share(subjects, prefix, share, spared):
                self._warn(
                    "MQTT broker: the store for %s is more than half full; those of %s were"
                    " removed",
                    quotas.NAMES[name],
                    subject.removeprefix(prefix).removesuffix(".>"),
                )
                await store.request(f"$JS.API.STREAM.PURGE.{name}", {"filter": subject})
        info = await store.request(f"$JS.API.STREAM.INFO.{name}")
        if not halve or not quotas.is_filling(name, info["state"]):
            return False
        keep = info["state"]["messages"] // 2
        self._warn(
            "MQTT broker: the store for %s is more than half full; the oldest half was removed",
            quotas.NAMES[name],
        )
        await store.request(f"$JS.API.STREAM.PURGE.{name}", {"keep": keep} if keep else None)
        return True

    # -- sessions -------------------------------------------------------------------------------

    async def _evict_sessions(self, store: NatsConnection, system: NatsConnection) -> None:
        if self._is_clustered:
            return  # this server does not know which devices are connected to the others
        info = await store.request(
            f"$JS.API.STREAM.INFO.{quotas.SESSIONS}", {"subjects_filter": ">"}
        )
        subjects = info["state"].get("subjects") or {}
        consumers: dict[str, list[str]] = {}
        for consumer in await self._consumers(store, "NAMES"):
            consumers.setdefault(consumer.partition("_")[0], []).append(consumer)
        connected = [
            quotas.session_hash(connection.get("mqtt_client", ""))
            for connection in await self._connections(system)
        ]
        sessions = {subject.removeprefix("$MQTT.sess."): subject for subject in subjects}
        away = quotas.removable_sessions({*sessions, *consumers}, connected, self._own)
        away = away[:EVICTIONS_MAX]
        if not away:
            return
        self._warn("MQTT broker: %s sessions of offline devices were removed", len(away))
        requests: list[tuple[str, object]] = [
            (f"$JS.API.CONSUMER.DELETE.{quotas.MESSAGES}.{consumer}", None)
            for session in away
            for consumer in consumers.get(session, ())
        ]
        requests += [
            (f"$JS.API.STREAM.PURGE.{quotas.SESSIONS}", {"filter": sessions[session]})
            for session in away
            if session in sessions
        ]
        await store.request_all(requests)

    async def _forget_gateways(self, store: NatsConnection) -> None:
        """Remove subscriptions of earlier client ids; they would fill the store for ever."""
        try:
            consumers = await self._consumers(store, "LIST")
        except Refused:
            return  # the stream does not exist yet
        for name in quotas.forgotten_gateways(consumers, self._own):
            log.info("MQTT broker: the subscription %s of an earlier gateway was removed", name)
            await store.request(f"$JS.API.CONSUMER.DELETE.{quotas.MESSAGES}.{name}")

    async def _consumers(self, store: NatsConnection, what: str) -> list[Any]:
        """The consumers of publications. `what` is NAMES or LIST."""
        found: list[Any] = []
        while True:
            page = await store.request(
                f"$JS.API.CONSUMER.{what}.{quotas.MESSAGES}", {"offset": len(found)}
            )
            some = page.get("consumers") or []
            found += some
            if not some or len(found) >= page.get("total", 0):
                return found

    # -- connections ----------------------------------------------------------------------------

    async def _close_surplus_connections(self, system: NatsConnection) -> None:
        counted = await system.request_of_server("CONNZ", {"limit": 1})
        surplus = counted["data"]["total"] - self._connections_max
        if surplus <= 0:
            return
        devices = self._of_devices(await self._connections(system))
        if not devices:
            return
        ((address, count),) = Counter(device["ip"] for device in devices).most_common(1)
        newest = sorted(device["cid"] for device in devices if device["ip"] == address)
        ended = newest[-min(surplus, count) :]
        self._warn(
            "MQTT broker: too many connections; %s of the %s connections of %s were closed",
            len(ended),
            count,
            address,
        )
        await self._close(system, counted["server"]["id"], ended)

    async def _relieve_gateway(self, system: NatsConnection) -> None:
        """Publications with QoS 0 are in no store: they wait in the gateway's connection."""
        for name in self._gateways:
            found = await system.request_of_server("CONNZ", {"mqtt_client": name, "limit": 1})
            for connection in found["data"].get("connections") or ():
                if connection["pending_bytes"] > GATEWAY_PENDING_MAX:
                    await self._disconnect_busiest(system, "the gateway can process")

    async def _disconnect_busiest(self, system: NatsConnection, limit: str) -> None:
        """Disconnect the device that publishes most. `limit` completes "more than …" in the log."""
        before = {one["cid"]: one["in_bytes"] for one in await self._connections(system)}
        await asyncio.sleep(OBSERVED_S)
        counted = await system.request_of_server("CONNZ", {"limit": 1})
        devices = self._of_devices(await self._connections(system))
        if not devices:
            return
        busiest = max(devices, key=lambda one: one["in_bytes"] - before.get(one["cid"], 0))
        if busiest["in_bytes"] <= before.get(busiest["cid"], 0):
            return
        self._warn(
            "MQTT broker: %s at %s publishes more than %s; it was disconnected",
            *(busiest.get("mqtt_client", ""), busiest["ip"], limit),
        )
        await self._close(system, counted["server"]["id"], [busiest["cid"]])

    async def _close(self, system: NatsConnection, server: str, cids: Sequence[int]) -> None:
        subject = f"$SYS.REQ.SERVER.{server}.KICK"
        await system.request_all([(subject, {"cid": cid}) for cid in cids])

    def _of_devices(self, connections: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            one
            for one in connections
            if one.get("type") == "mqtt"
            and one.get("mqtt_client", "") not in self._own_ids
            and not one.get("mqtt_client", "").startswith(self._ids.mqttsn_prefix)
        ]

    async def _connections(self, system: NatsConnection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = await system.request_of_server("CONNZ", {"limit": _PAGE, "offset": len(found)})
            some = page["data"].get("connections") or []
            found += some
            if len(some) < _PAGE:
                return found
