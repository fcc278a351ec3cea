# SPDX-License-Identifier: BSD-3-Clause
"""The log of nats-server: the state of the child, and log lines about devices, explained."""

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pyaiot.mqtt.embedded.nats_settings import OWN_USERS
from pyaiot.transport.rate_limit import RateLimitedLog

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_MAX: Final = 8192
"""Bytes of a line of nats-server. A longer line is skipped."""
_PUBLISH_VIOLATION: Final = re.compile(r'Publish Violation - (?:User "[^"]*", )?Subject "(.*)"')

log = logging.getLogger(__name__)


_OF_CLIENT: Final = re.compile(
    r'(?P<address>\S+):\d+ - \w+:\d+ - "(?P<client_id>[^"]*)" - (?P<text>.*)', re.DOTALL
)

_EXPLANATIONS: Final = tuple(
    (re.compile(pattern), explanation)
    for pattern, explanation in (
        (r"authentication error - User", "was refused: it uses a user name of Pyaiot itself"),
        (
            r"unacceptable protocol version of (\d+)",
            "was refused: it uses version {0} of the protocol (5: MQTT 5); set it to MQTT 3.1.1",
        ),
        (
            r"older protocol .* not supported",
            "was refused: it uses MQTT 3.1; set it to MQTT 3.1.1",
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
            r'unable to store retained message .*subject "(.*)": message size exceeds',
            "published {0}, which was not retained: it is too large",
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
            (
                "published {0}, which was dropped: devices publish to node/... or, if foreign"
                " devices are accepted, to other topics but those of commands; those with a"
                " credential to topics with their name"
            ),
        ),
        (
            r'Subscription Violation - Subject "(.*)", SID',
            (
                "was refused the subscription {0}: devices subscribe to gateway/..., those with a"
                " credential to gateway/ and their name"
            ),
        ),
        (
            r"character not supported for MQTT topics|not supported for MQTT topics",
            "was disconnected: a topic has a space or a dot that is not supported",
        ),
        (
            r"invalid (?:character in|utf8 for) client ID",
            "was refused: its client id has a space, a dot, * or >, or is not UTF-8; set another",
        ),
        (
            r"when client ID is empty, clean session flag",
            "was refused: without a client id it must set the flag of a clean session",
        ),
        (
            r"maximum payload exceeded: (\d+) vs (\d+)",
            "was disconnected: it published {0} bytes, and {1} are allowed",
        ),
        (r"no space left on device", "was disconnected: the disk is full"),
    )
)
"""Log lines about a client, and what they mean for its operator."""
_REFUSALS: Final = ("was refused:", "was disconnected:")
"""The beginnings of the explanations of lines about clients that are not served."""

_OWN_USER: Final = re.compile(rf'authentication error - User "(?:{"|".join(OWN_USERS)})"')
"""A client that tried to log in as Pyaiot itself: nats-server refuses it without `DeviceLogins`."""
_REPEATED: Final = re.compile(
    r"(?:unable to connect: )?authentication error|Auth callout service returned an error"
)
"""Lines about a client that was refused for its credential: `DeviceLogins` has logged why."""

_FATAL: Final = re.compile(
    r"fatal error: .*|panic: .*|runtime: (?:out of memory|cannot allocate).*"
)


class NatsLog:
    """Forwards the log, and derives from it the state of the child."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        """The child has logged that it is ready."""
        self.port = 0
        """The port for clients of NATS, once it was logged."""
        self.last_line = ""
        """The last line without a level, or the last fatal error."""
        self.crash = ""
        """The first line of a crash; empty if there was none."""
        self.refused = 0
        """Clients that were refused or disconnected, in total, without those that `DeviceLogins`
        refused."""
        self.report_refused: Callable[[str], None] | None = None
        """Called with each of these, and the reason."""
        self.report_ignored: Callable[[str], None] | None = None
        """Called with each topic that a device published to and that is not of a node."""
        self._log = RateLimitedLog(log)

    def begin(self) -> None:
        """The child starts again."""
        self.ready.clear()
        self.crash = self.last_line = ""

    async def forward(self, lines: asyncio.StreamReader) -> None:
        """Read the lines of the child until it closes its log."""
        while True:
            try:
                line = await lines.readline()
            except ValueError:
                continue  # longer than any line of nats-server itself
            if not line:
                return
            self.on_line(line.decode(errors="replace").rstrip())

    def on_line(self, line: str) -> None:
        level, _, text = line.partition("] ")[2].partition("] ")
        match level.removeprefix("["):
            case "WRN" if "Plaintext passwords" not in text and not _REPEATED.search(text):
                self._log.warning("nats-server: %s", text, now=self._now())
            case "ERR":
                found = _PUBLISH_VIOLATION.search(text)
                if found is not None and self.report_ignored is not None:
                    self.report_ignored(topic_of_subject(found[1]))
                # Most errors are caused by clients.
                explained = explain(text)
                if explained is None:
                    return
                if explained.refuses:
                    self.refused += 1
                    if self.report_refused is not None:
                        self.report_refused(explained.text.removeprefix("MQTT: "))
                self._log.warning("%s", explained.text, now=self._now())
            case "FTL":
                self.last_line = text
                log.error("nats-server: %s", text)
            case "INF" | "WRN" | "DBG" | "TRC":
                log.debug("nats-server: %s", text)
                if text.startswith("Listening for client connections on "):
                    self.port = int(text.rpartition(":")[2])
                elif text == "Server is ready":
                    self.ready.set()
            case _:
                # Lines have no level before the settings are read, and in a crash: then the
                # first line is the reason, and a stack trace follows.
                self.crash = self.crash or reason_of_crash(line)
                self.last_line = line
                log.debug("nats-server: %s", line)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class Explained(NamedTuple):
    """What a line of nats-server means."""

    text: str
    refuses: bool
    """A client was refused or disconnected."""


def explain(text: str) -> Explained | None:
    """Explain a log line about a client; None if the reason was logged already.

    Other lines are returned with the prefix `nats-server:`.
    """
    if _REPEATED.search(text) and not _OWN_USER.search(text):
        return None
    of_client = _OF_CLIENT.match(text)
    if of_client is None:
        return Explained(f"nats-server: {text}", refuses=False)
    client_id = of_client["client_id"]
    device = f"device {client_id}" if client_id else "a device"
    for pattern, explanation in _EXPLANATIONS:
        found = pattern.search(of_client["text"])
        if found is not None:
            details = (_as_topic(group or "") for group in found.groups())
            what = explanation.format(*details)
            refuses = explanation.startswith(_REFUSALS)
            return Explained(f"MQTT: {device} at {of_client['address']} {what}", refuses)
    return Explained(f"nats-server: {text}", refuses=False)


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
