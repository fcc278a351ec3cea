# SPDX-License-Identifier: BSD-3-Clause
"""Topics and ids of nodes and resources in Home Assistant. Pure.

They are derived from the uid and the resource name alone, so they are the same after each restart.
"""

import re
from typing import Final

TOPIC_PREFIX: Final = "pyaiot"
"""First level of every topic with states, availability and commands."""
ORIGIN: Final = "Pyaiot"
"""Name of the origin in every discovery message."""
SYSTEM_PATTERN: Final = "[A-Za-z0-9-]{1,32}"
"""Valid names of a system. The name is a part of every id, and does not contain `_`."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9-]")


def escaped(text: str) -> str:
    """Escape a text: letters, digits and `-` are unchanged, every other byte of the UTF-8 becomes
    `_` and two hexadecimal digits. The result is unique, and valid in topics and ids of Home
    Assistant.
    """
    return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return "".join(f"_{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def device_id(system: str, uid: str) -> str:
    """The id of a node. Everything up to the first `_` is the name of the system."""
    return f"{system}_{escaped(uid)}"


def unique_id(device: str, resource: str) -> str:
    """The id of an entity. The separator `__` does not occur in escaped text."""
    return f"{device}__{escaped(resource)}"


class Topics:
    """The topics of one system."""

    def __init__(self, system: str, discovery_prefix: str) -> None:
        self.system = system
        self.status = f"{TOPIC_PREFIX}/{system}"
        """`online` while this system is connected, otherwise `offline`. No id of a node equals
        it."""
        self.commands = f"{TOPIC_PREFIX}/+/+/set"
        """Filter of the topics on which Home Assistant publishes commands."""
        self.births = frozenset({f"{discovery_prefix}/status", "homeassistant/status"})
        """`online` when Home Assistant has started: another discovery prefix does not change the
        topic of its birth message."""
        self.configs = f"{discovery_prefix}/device/+/config"
        """Filter of all discovery messages of devices."""
        self.all_removed = f"{self.status}/removed/+"
        """Filter of the topics of removed nodes."""
        self._discovery_prefix = discovery_prefix

    def config(self, device: str) -> str:
        """The discovery message of a node, retained."""
        return f"{self._discovery_prefix}/device/{device}/config"

    def availability(self, device: str) -> str:
        """`online` or `offline`, retained."""
        return f"{TOPIC_PREFIX}/{device}"

    def removed(self, device: str) -> str:
        """The last discovery message of a node that was removed, retained, for later."""
        return f"{self.status}/removed/{device}"

    def device_of_removed(self, topic: str) -> str:
        """The id in the topic of a removed node; empty for any other topic."""
        device = topic.removeprefix(f"{self.status}/removed/")
        return device if device.startswith(f"{self.system}_") and "/" not in device else ""

    def state(self, device: str, resource: str) -> str:
        return f"{TOPIC_PREFIX}/{device}/{escaped(resource)}"

    def command(self, device: str, resource: str) -> str:
        return f"{TOPIC_PREFIX}/{device}/{escaped(resource)}/set"

    def device_of_config(self, topic: str) -> str:
        """The id in the topic of a discovery message of this system; empty for any other topic."""
        levels = topic.removeprefix(f"{self._discovery_prefix}/").split("/")
        if len(levels) != 3 or levels[0] != "device" or levels[2] != "config":
            return ""
        device = levels[1]
        return device if device.startswith(f"{self.system}_") else ""

    def target_of_command(self, topic: str) -> tuple[str, str] | None:
        """The id of the node and the escaped resource of a command; None for any other topic."""
        match topic.split("/"):
            case [prefix, device, resource, "set"] if prefix == TOPIC_PREFIX:
                return device, resource
            case _:
                return None
