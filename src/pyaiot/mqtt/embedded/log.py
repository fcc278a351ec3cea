# SPDX-License-Identifier: BSD-3-Clause
"""Rewrites log lines of nats-server for operators of devices. Pure."""

import re
from typing import Final

_OF_CLIENT: Final = re.compile(
    r'(?P<address>\S+):\d+ - \w+:\d+ - "(?P<client_id>[^"]*)" - (?P<text>.*)', re.DOTALL
)

_EXPLANATIONS: Final = tuple(
    (re.compile(pattern), explanation)
    for pattern, explanation in (
        (
            r"unacceptable protocol version of (\d+)",
            "was refused: it uses version {0} of the protocol (5: MQTT 5); set it to MQTT 3.1.1",
        ),
        (
            r"older protocol .* not supported",
            "was refused: it uses MQTT 3.1; set it to MQTT 3.1.1",
        ),
        (
            r'authentication error - User "(.*)"',
            "was refused: it sends the user name {0}; set it to send no user name or password",
        ),
        (
            r"unable to persist session .*maximum (?:messages|bytes) exceeded",
            "was refused: the store for sessions is full; sessions of offline devices are removed",
        ),
        (
            r'unable to store retained message .*subject "(.*)": maximum (?:messages|bytes)',
            "published {0}, which was not retained: the store for retained messages is full",
        ),
        (
            r"JetStream failed a pipelined QoS1/2 .*maximum (?:messages|bytes) exceeded",
            "was disconnected: the store for publications with QoS 1 and 2 is full",
        ),
        (
            r"maximum consumers limit reached",
            "was refused a subscription: there are too many subscriptions",
        ),
        (
            r'Publish Violation - Subject "(.*)"',
            "published {0}, which was dropped: devices publish to node/...",
        ),
        (
            r'Subscription Violation - Subject "(.*)", SID',
            "was refused the subscription {0}: devices subscribe to gateway/...",
        ),
        (
            r"character not supported for MQTT topics|not supported for MQTT topics",
            "was disconnected: a topic has a space or a dot that is not supported",
        ),
        (
            r"maximum payload exceeded: (\d+) vs (\d+)",
            "was disconnected: it published {0} bytes, and {1} are allowed",
        ),
        (r"no space left on device", "was disconnected: the disk is full"),
    )
)
"""Log lines about a client, and what they mean for its operator."""

_REPEATED: Final = re.compile(r"unable to connect: authentication error")
"""Lines that repeat the line before."""

_FATAL: Final = re.compile(
    r"fatal error: .*|panic: .*|runtime: (?:out of memory|cannot allocate).*"
)


def explain(text: str) -> str | None:
    """Explain a log line about a client; None if it repeats the line before.

    Other lines are returned with the prefix `nats-server:`.
    """
    if _REPEATED.search(text):
        return None
    of_client = _OF_CLIENT.match(text)
    if of_client is None:
        return f"nats-server: {text}"
    client_id = of_client["client_id"]
    device = f"device {client_id}" if client_id else "a device"
    for pattern, explanation in _EXPLANATIONS:
        found = pattern.search(of_client["text"])
        if found is not None:
            details = (_as_topic(group or "") for group in found.groups())
            return f"MQTT: {device} at {of_client['address']} " + explanation.format(*details)
    return f"nats-server: {text}"


def _as_topic(subject: str) -> str:
    """A topic or filter that nats-server logged as a subject."""
    return subject if "/" in subject else subject.replace(".", "/").replace(">", "#")


def reason_of_crash(line: str) -> str:
    """The first line of a Go crash; "" for any other line."""
    return line if _FATAL.match(line) else ""


def is_about_memory(reason: str) -> bool:
    """Whether a crash was caused by a lack of memory, as under `ulimit -v`."""
    return bool(re.search(r"memory|reserve|allocate|mmap|address space", reason))


def topic_of_subject(subject: str) -> str:
    """The topic of a subject: nats-server writes `/` as `.`, and `.` as `//`."""
    return subject.replace("//", "\0").replace(".", "/").replace("\0", ".")
