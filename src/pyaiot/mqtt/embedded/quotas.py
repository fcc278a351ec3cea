# SPDX-License-Identifier: BSD-3-Clause
"""How much of the store of the embedded MQTT broker devices may fill, and what goes at the limit.

nats-server keeps what MQTT needs in five streams. It knows limits of a stream, and none of a
device; what is counted per device here is what a stream's subjects tell. Pure.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MESSAGES: Final = "$MQTT_msgs"
"""Publications with QoS 1 and 2 that a subscriber has not acknowledged."""
RETAINED: Final = "$MQTT_rmsgs"
SESSIONS: Final = "$MQTT_sess"
QOS2: Final = "$MQTT_qos2in"
"""Publications with QoS 2 whose PUBREL has not come."""
PUBREL: Final = "$MQTT_out"

MESSAGES_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of publications with QoS 1 that wait for the gateway. One more is not acknowledged, and
its device is disconnected; it sends it again."""
RETAINED_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of retained messages, of all devices. One more is delivered and not retained."""
RETAINED_MAX: Final = 50_000
"""Retained messages, of all devices. One more is delivered and not retained."""
RETAINED_PER_NODE_MAX: Final = 300
"""Retained messages of one node that stay when half of the room is taken. With more, all of that
node are removed."""
QOS2_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of publications with QoS 2 that are not released. One more ends its device's connection."""
QOS2_MAX: Final = 20_000
"""Publications with QoS 2 that are not released. One more ends its device's connection."""
QOS2_PER_DEVICE_MAX: Final = 32
"""Unreleased publications with QoS 2 of one device that stay when half of the room is taken. With
more, all of that device are removed."""
QOS2_AGE_MAX_S: Final = 3600
"""Seconds for which a publication with QoS 2 waits for its release. After that it is forgotten."""
SESSIONS_MAX: Final = 40_000
"""Sessions of devices, connected or kept. One more is refused; when half of the room is taken,
those without a connection are removed, and their devices subscribe again when they return."""
CONSUMERS_MAX: Final = 40_000
"""Subscriptions with QoS 1 and 2 of all devices. One more is refused."""
SESSIONS_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the sessions of all devices. One more is refused."""
PUBREL_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of releases (QoS 2) that wait for devices. One more ends its device's connection."""
TRIM_SHARE: Final = 0.5
"""Of a limit: with more than this share taken, room is made."""

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class StreamLimit:
    """0: no limit."""

    bytes_max: int
    messages_max: int = 0
    age_max_s: int = 0
    consumers_max: int = 0


LIMITS: Final[Mapping[str, StreamLimit]] = {
    MESSAGES: StreamLimit(MESSAGES_BYTES_MAX, consumers_max=CONSUMERS_MAX),
    RETAINED: StreamLimit(RETAINED_BYTES_MAX, RETAINED_MAX),
    QOS2: StreamLimit(QOS2_BYTES_MAX, QOS2_MAX, QOS2_AGE_MAX_S),
    SESSIONS: StreamLimit(SESSIONS_BYTES_MAX, SESSIONS_MAX),
    PUBREL: StreamLimit(PUBREL_BYTES_MAX),
}
"""Together they are less than the store, so that none takes the room of another."""

NAMES: Final[Mapping[str, str]] = {
    MESSAGES: "publications that wait for the gateway",
    RETAINED: "retained messages",
    QOS2: "publications with QoS 2 that are not released",
    SESSIONS: "sessions",
    PUBREL: "releases of QoS 2 that wait for devices",
}


def limited(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of a stream with its limits, or None: it has them, or is none of MQTT's.

    What is over a limit is refused: by default nats-server removes the oldest message, also one
    that it acknowledged.
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
        "discard": "new",
    }
    return None if wanted == config else wanted


def is_crowded(name: str, state: Mapping[str, Any]) -> bool:
    """Whether more than `TRIM_SHARE` of one of its limits is taken."""
    return _taken(name, state) > TRIM_SHARE


def is_full(name: str, state: Mapping[str, Any]) -> bool:
    """Whether nearly nothing more is taken."""
    return _taken(name, state) > 0.95


def _taken(name: str, state: Mapping[str, Any]) -> float:
    limit = LIMITS[name]
    shares: list[float] = [state["bytes"] / limit.bytes_max]
    if limit.messages_max:
        shares.append(state["messages"] / limit.messages_max)
    if limit.consumers_max:
        shares.append(state["consumer_count"] / limit.consumers_max)
    return max(shares)


def over_their_share(subjects: Mapping[str, int], prefix: str, share: int) -> list[str]:
    """The filters of those that have more than `share` messages below `prefix`.

    The level of a subject after `prefix` tells whose it is.
    """
    counts: Counter[str] = Counter()
    for subject, count in subjects.items():
        owner = subject.removeprefix(prefix).partition(".")[0]
        counts[owner] += count
    return [f"{prefix}{owner}.>" for owner, count in counts.items() if count > share]


def session_hash(client_id: str) -> str:
    """What nats-server calls the session of a client id in subjects and consumers."""
    digest = hashlib.sha256(client_id.encode()).digest()
    return "".join(_BASE62[byte % 62] for byte in digest[:8])


def removable_sessions(
    sessions: Iterable[str], connected: Iterable[str], ours: Iterable[str]
) -> list[str]:
    """The sessions, by hash, whose clients are away and none of ours."""
    return sorted(set(sessions) - set(connected) - set(ours))


def forgotten_gateways(consumers: Iterable[Mapping[str, Any]], ours: Iterable[str]) -> list[str]:
    """Consumers of what nodes publish that are of no client of ours: nobody will empty them.

    So it is after the file of our client ids was removed.
    """
    hashes = set(ours)
    return [
        consumer["name"]
        for consumer in consumers
        if not consumer["config"].get("filter_subject", "").startswith("$MQTT.msgs.gateway")
        and consumer["name"].partition("_")[0] not in hashes
    ]
