# SPDX-License-Identifier: BSD-3-Clause
"""What the log of nats-server says, in the words of who connects devices to it. Pure."""

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
            "was refused: it speaks version {0} of the protocol (5: MQTT 5); set it to MQTT 3.1.1",
        ),
        (
            r"older protocol .* not supported",
            "was refused: it speaks MQTT 3.1; set it to MQTT 3.1.1",
        ),
        (
            r'authentication error - User "(.*)"',
            "was refused: it sends the user name {0}; set it to send no user name or password",
        ),
        (
            r"unable to persist session .*maximum (?:messages|bytes) exceeded",
            "was refused: the room for sessions is full; it is made while devices are away",
        ),
        (
            r'unable to store retained message .*subject "(.*)": maximum (?:messages|bytes)',
            "published {0}, which was not retained: the room for retained messages is full",
        ),
        (
            r"JetStream failed a pipelined QoS1/2 .*maximum (?:messages|bytes) exceeded",
            "was disconnected: the room for publications with QoS 1 and 2 is full",
        ),
        (r"maximum consumers limit reached", "was refused a subscription: there are too many"),
        (
            r'Publish Violation - Subject "(.*)"',
            "published {0}, which went to nobody: devices publish on node/...",
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
"""What is logged of a client, and what that means for its operator."""

_REPEATED: Final = re.compile(r"unable to connect: authentication error")
"""What only repeats the line before."""

_FATAL: Final = re.compile(
    r"fatal error: .*|panic: .*|runtime: (?:out of memory|cannot allocate).*"
)


def explain(text: str) -> str | None:
    """A line about a client; None if it says nothing new. Other lines stay as they are."""
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
    """nats-server writes topics as its subjects."""
    return subject if "/" in subject else subject.replace(".", "/").replace(">", "#")


def reason_of_crash(line: str) -> str:
    """Of the first line of a stack of Go; empty for any other line."""
    return line if _FATAL.match(line) else ""


def is_about_memory(reason: str) -> bool:
    """Whether a crash is for lack of memory, as under `ulimit -v`."""
    return bool(re.search(r"memory|reserve|allocate|mmap|address space", reason))
