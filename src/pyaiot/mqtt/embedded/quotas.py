# SPDX-License-Identifier: BSD-3-Clause
"""Quotas of the store of the embedded MQTT broker, and what is removed at a limit. Pure.

nats-server stores the data of MQTT in five streams. It has limits per stream but not per device;
the counts per device are computed here from the subjects of a stream.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

MESSAGES: Final = "$MQTT_msgs"
"""Publications with QoS 1 and 2 that a subscriber has not acknowledged."""
RETAINED: Final = "$MQTT_rmsgs"
SESSIONS: Final = "$MQTT_sess"
QOS2: Final = "$MQTT_qos2in"
"""Publications with QoS 2 that wait for PUBREL."""
PUBREL: Final = "$MQTT_out"

MESSAGES_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of publications with QoS 1 that wait for the gateway. One more is not acknowledged, and its
device is disconnected; the device sends it again."""
RETAINED_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of retained messages, of all devices. One more is delivered and not retained."""
RETAINED_MAX: Final = 50_000
"""Retained messages, of all devices. One more is delivered and not retained."""
RETAINED_MESSAGE_MAX: Final = 1056 * 1024
"""Bytes of one retained message, enough for the list of all devices of a Zigbee network. A larger
one is delivered and not retained."""
RETAINED_PER_NODE_MAX: Final = 300
"""Retained messages that one node may have while more than half of a limit is used. With more, all
of that node are removed."""
RETAINED_PER_LEVEL_MAX: Final = 20_000
"""Retained messages of all topics of foreign devices with one first level, while more than half of
a limit is used. With more, all of that level are removed."""
QOS2_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of publications with QoS 2 that wait for PUBREL. One more closes its device's
connection."""
QOS2_MAX: Final = 20_000
"""Publications with QoS 2 that wait for PUBREL. One more closes its device's connection."""
QOS2_PER_DEVICE_MAX: Final = 32
"""Publications with QoS 2 that wait for PUBREL, which one device may have while more than half of a
limit is used. With more, all of that device are removed. While that is not enough, the next of
`QOS2_SHARES` applies."""
QOS2_SHARES: Final = (QOS2_PER_DEVICE_MAX, 16, 8, 4, 2, 1)
"""A device with few large publications takes no room of those with one."""
QOS2_AGE_MAX_S: Final = 3600
"""Seconds for which a publication with QoS 2 waits for PUBREL. Then it is removed."""
SESSIONS_MAX: Final = 40_000
"""Sessions of devices, connected or not. One more is refused. While more than half of a limit is
used, sessions without a connection are removed; their devices subscribe again when they
reconnect."""
CONSUMERS_MAX: Final = 40_000
"""Subscriptions with QoS 1 and 2 of all devices. One more is refused."""
SESSIONS_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the sessions of all devices. One more is refused."""
PUBREL_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of PUBREL packets (QoS 2) that wait for devices. One more closes its device's
connection."""
TRIM_SHARE: Final = 0.5
"""With more than this share of a limit used, data is removed."""
QUIET_SHARE: Final = 0.4
"""With less than this share of a limit used, a stream is not filling."""
BURST_S: Final = 60.0
"""A store for retained messages that fills within this time is filled by one device. What was
retained since then is removed, and older messages stay."""

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class StreamLimit(msgspec.Struct, frozen=True):
    """The limits of a stream. 0: no limit."""

    bytes_max: int
    messages_max: int = 0
    age_max_s: int = 0
    consumers_max: int = 0
    message_max: int = 0
    """Bytes of one message."""


LIMITS: Final[Mapping[str, StreamLimit]] = {
    MESSAGES: StreamLimit(MESSAGES_BYTES_MAX, consumers_max=CONSUMERS_MAX),
    RETAINED: StreamLimit(RETAINED_BYTES_MAX, RETAINED_MAX, message_max=RETAINED_MESSAGE_MAX),
    QOS2: StreamLimit(QOS2_BYTES_MAX, QOS2_MAX, QOS2_AGE_MAX_S),
    SESSIONS: StreamLimit(SESSIONS_BYTES_MAX, SESSIONS_MAX),
    PUBREL: StreamLimit(PUBREL_BYTES_MAX),
}
"""Together they are less than the store, so that no stream takes the space of another."""

NAMES: Final[Mapping[str, str]] = {
    MESSAGES: "publications that wait for the gateway",
    RETAINED: "retained messages",
    QOS2: "publications with QoS 2 that wait for PUBREL",
    SESSIONS: "sessions",
    PUBREL: "PUBREL packets that wait for devices",
}


def limited(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of a stream with its limits; None if it has them already or has no limits.

    Messages over a limit are refused. The default of nats-server would remove the oldest message,
    even if it was acknowledged.
    """
    limit = LIMITS.get(config["name"])
    if limit is None:
        return None
    wanted = {
        **config,
        "max_bytes": limit.bytes_max,
        "max_msgs": limit.messages_max or -1,
        "max_age": limit.age_max_s * 10**9,
        "max_consumers": limit.consumers_max or -1,
        "max_msg_size": limit.message_max or -1,
        "discard": "new",
    }
    return None if wanted == config else wanted


def is_filling(name: str, state: Mapping[str, Any]) -> bool:
    """Whether more than `TRIM_SHARE` of one of its limits is used."""
    return _used_share(name, state) > TRIM_SHARE


def is_full(name: str, state: Mapping[str, Any]) -> bool:
    """Whether the stream is about to refuse messages."""
    return _used_share(name, state) > 0.95


def _used_share(name: str, state: Mapping[str, Any]) -> float:
    limit = LIMITS[name]
    shares: list[float] = [state["bytes"] / limit.bytes_max]
    if limit.messages_max:
        shares.append(state["messages"] / limit.messages_max)
    if limit.consumers_max:
        shares.append(state["consumer_count"] / limit.consumers_max)
    return max(shares)


class Burst:
    """Finds the messages that filled a stream within `BURST_S`.

    nats-server does not report the publisher of a retained message. A stream that fills this fast
    is filled by one device: the newest messages are removed, and earlier ones stay.
    """

    def __init__(self) -> None:
        self._low: deque[tuple[float, int, float]] = deque()
        """Time, last sequence number and used share of the checks of the last `BURST_S`."""

    def observe(self, name: str, state: Mapping[str, Any], now: float) -> range | None:
        """Note the state of the stream. Returns the sequence numbers to remove, if it is filling.

        They are those since the latest check in which less than `QUIET_SHARE` was used.
        """
        share = _used_share(name, state)
        while self._low and now - self._low[0][0] > BURST_S:
            self._low.popleft()
        found = None
        if share > TRIM_SHARE:
            quiet = [seen for seen in self._low if seen[2] < QUIET_SHARE]
            if quiet:
                found = range(quiet[-1][1] + 1, state["last_seq"] + 1)
        self._low.append((now, state["last_seq"], share))
        return found


_WILDCARDS: Final = frozenset({"*", ">"})
"""Wildcards of NATS."""


def over_their_share(
    subjects: Mapping[str, int], prefix: str, share: int, spared: str = ""
) -> list[str]:
    """The subject filters of the owners, other than `spared`, with more than `share` messages.

    The owner of a message is the level of its subject after `prefix`. One that is called `*` or
    `>`, which MQTT allows, has no separate filter: it would match the messages of others.
    """
    counts: Counter[str] = Counter()
    for subject, count in subjects.items():
        owner = subject.removeprefix(prefix).partition(".")[0]
        counts[owner] += count
    return [
        f"{prefix}{owner}.>"
        for owner, count in counts.items()
        if count > share and owner not in _WILDCARDS and owner != spared
    ]


def session_hash(client_id: str) -> str:
    """The name of the session of a client id in subjects and consumers of nats-server."""
    digest = hashlib.sha256(client_id.encode()).digest()
    return "".join(_BASE62[byte % 62] for byte in digest[:8])


def removable_sessions(
    sessions: Iterable[str], connected: Iterable[str], own: Iterable[str]
) -> list[str]:
    """The sessions, as hashes, whose clients are offline and not clients of Pyaiot itself."""
    return sorted(set(sessions) - set(connected) - set(own))


def forgotten_gateways(consumers: Iterable[Mapping[str, Any]], own: Iterable[str]) -> list[str]:
    """Consumers of the publications of nodes without a client of Pyaiot that would read them.

    They remain after the file of client ids was removed.
    """
    hashes = set(own)
    return [
        consumer["name"]
        for consumer in consumers
        if not consumer["config"].get("filter_subject", "").startswith("$MQTT.msgs.gateway")
        and consumer["name"].partition("_")[0] not in hashes
    ]
