# SPDX-License-Identifier: BSD-3-Clause
"""What foreign devices without a credential may do at the embedded MQTT broker. Pure.

Their dialects differ in where states are published, and agree in how topics of commands look. So
such a device may publish on any topic but those of commands and of nats-server itself, and may
subscribe to those of commands: it sends no commands to others, and reads no states of others.
"""

import json
from typing import Final, NamedTuple

LEVELS_MAX: Final = 7
"""Levels of the topics of commands of foreign devices, at most. With more, a device cannot
subscribe."""

_COMMAND_WORDS: Final = ("set", "command", "cmd")
"""The last level of a topic on which a device of some dialect receives commands."""
_COMMAND_PREFIXES: Final = ("cmnd", "gateway")
"""The first level: of Tasmota and of nodes."""
_OTHER_COMMANDS: Final = (
    # Calls of Shelly devices; their notifications and answers have more levels before `rpc`.
    "*.rpc",
    *("spBv1//0.*.NCMD.>", "spBv1//0.*.DCMD.>", "spBv1//0.STATE.>", "STATE.>"),
    "shellies.*.*.*.command.>",
    # Of Tasmota, with another FullTopic.
    *("*.cmnd", "*.cmnd.>", "*.*.cmnd", "*.*.cmnd.>"),
)
_OWN: Final = (
    *("pyaiot.health", "pyaiot.gateways"),
    *("$JS", "$JSC", "$KV", "$MQTT", "$NRG", "$O", "$SRV", "$SYS", "$SYSC", "$G"),
    *("_GR_", "_INBOX", "_R_"),
)
"""The first levels of the subjects that nats-server uses itself."""


class DeviceRights(NamedTuple):
    """What one foreign device with a user name and password may do."""

    client_ids: tuple[str, ...]
    """Its client ids. Others begin with one of them and a slash."""
    publish: tuple[str, ...]
    """Topic filters."""
    subscribe: tuple[str, ...]


def subjects_of(filters: tuple[str, ...]) -> list[str]:
    """Topic filters as subjects of nats-server."""
    found = []
    for it in filters:
        subject = ".".join(level.replace(".", "//") for level in it.split("/"))
        if it.endswith("/#"):
            # It also matches the level before (MQTT 3.1.1 section 4.7.1.2).
            found += [subject[:-2], f"{subject[:-1]}>"]
        else:
            found.append(subject)
    return [".".join("*" if level == "+" else level for level in it.split(".")) for it in found]


def command_filters(
    zigbee2mqtt_bases: tuple[str, ...] = ("zigbee2mqtt",),
    discovery_prefixes: tuple[str, ...] = ("homeassistant",),
) -> tuple[str, ...]:
    """The subjects on which foreign devices receive commands."""
    return (
        *subjects_of(tuple(f"{it}/bridge/request/#" for it in zigbee2mqtt_bases)),
        *subjects_of(tuple(f"{it}/status" for it in discovery_prefixes)),
        *(f"{prefix}.>" for prefix in _COMMAND_PREFIXES),
        *_COMMAND_PREFIXES,
        *_OTHER_COMMANDS,
        *(
            ".".join(["*"] * levels + [word])
            for word in _COMMAND_WORDS
            for levels in range(1, LEVELS_MAX)
        ),
    )


def foreign_permissions(
    zigbee2mqtt_bases: tuple[str, ...] = ("zigbee2mqtt",),
    discovery_prefixes: tuple[str, ...] = ("homeassistant",),
) -> str:
    """The permissions of such a device, in the settings of nats-server.

    Zigbee2MQTT subscribes to its base topic as a whole: commands and its own publications.
    """
    commands = command_filters(zigbee2mqtt_bases, discovery_prefixes)
    whole = subjects_of(tuple(f"{it}/#" for it in zigbee2mqtt_bases))
    denied = [*commands, *(f"{own}{rest}" for own in _OWN for rest in ("", ".>"))]
    return (
        f'permissions {{ publish: {{ allow: [">"], deny: {json.dumps(denied)} }},'
        f" subscribe: {{ allow: {json.dumps((*commands, *whole))} }} }}"
    )
