# SPDX-License-Identifier: BSD-3-Clause
"""The rights of foreign devices with a user name and password at the embedded MQTT broker. Pure.

A credential names a dialect and the name of the device in it. The device may use only the topics of
that dialect with that name, so the topic of a message identifies its publisher.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from pyaiot.errors import Refused
from pyaiot.mqtt.embedded.foreign_topics import DeviceRights

SHELLY_SOURCE: Final = "pyaiot/shelly"
"""Answers of a Shelly device arrive on `pyaiot/shelly/ID/rpc`: no other client may publish
there."""
HOME_ASSISTANT: Final = "homeassistant"
"""The dialect whose devices name the topics of their commands."""
KIND: Final = "mqtt:"
"""Prefix of the kind of a foreign device's credential; the rest is a key of `ACCESSES`."""


class DialectAccess(NamedTuple):
    """The topics that the devices of one dialect use. `{name}` is the name of the device."""

    word: str
    """The argument of `aiot device add --protocol`."""
    dialect: str
    """Its name in `DIALECTS`."""
    title: str
    uid_prefix: str
    """Prefix of the uid of its node; the name of the device follows."""
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    name_of: Callable[[Sequence[str]], str]
    """The name of the device, from the levels of a topic that it may publish on; else empty."""
    settings: str
    """What to enter in the settings of the device."""
    example: str
    """Arguments for a mosquitto client, to try the credential without hardware."""
    form: str = "[A-Za-z0-9][A-Za-z0-9_-]*"
    """Regular expression that the name must match."""
    reserved: frozenset[str] = frozenset()
    """Reserved names: they would give the device topics of other clients."""
    forbidden: str = ".:"
    """Characters that the name may not have."""
    further: str = ""
    """Prefix of the uids of its further nodes. `{uid}` is the uid of the credential."""
    is_first_come: bool = False
    """The messages of the device name the uids of its nodes. A uid belongs to the credential that
    used it first."""

    @property
    def kind(self) -> str:
        """The kind of its credentials."""
        return KIND + self.word

    def parts(self, uid: str) -> dict[str, str]:
        """The values of the placeholders in the texts."""
        name = uid.removeprefix(self.uid_prefix)
        group, _, edge = name.partition(".")
        return {"name": name, "group": group, "edge": edge}

    def rights(self, uid: str) -> DeviceRights:
        """What the device with this credential may do."""
        parts = self.parts(uid)
        name = parts["name"]
        # nats-server refuses client ids with a dot.
        return DeviceRights(
            (uid.replace(".", "/"), name.replace(".", "/")),
            tuple(it.format(**parts) for it in self.publish),
            tuple(it.format(**parts) for it in self.subscribe),
        )

    def client_id(self, uid: str) -> str:
        """The client id to enter in the device."""
        return self.rights(uid).client_ids[1]

    def owner(self, topic: str) -> str:
        """The uid of the credential that may publish on a topic; empty if there is none."""
        name = self.name_of(topic.split("/"))
        return name and f"{self.uid_prefix}{name}"

    def problem(self, name: str) -> str:
        """Why a device cannot have this name; empty if it can."""
        if name in self.reserved:
            return f"{name} is a reserved word: choose another name"
        if not re.fullmatch(self.form, name):
            return f"the name of a {self.title} device has a form such as {self.example_name}"
        return ""

    @property
    def example_name(self) -> str:
        """An example of a name."""
        return _EXAMPLES.get(self.word, "kitchen-plug")

    def may_have(self, owner: str, uid: str) -> bool:
        """Whether a node may belong to a credential."""
        further = self.further.format(uid=owner)
        return self.is_first_come or uid == owner or bool(further and uid.startswith(further))


_EXAMPLES: Final = {
    "shelly-rpc": "shellyplusplugs-a8032ab12345",
    "zigbee2mqtt": "zigbee2mqtt, its base topic",
    "sparkplug": "plant.line-1, group id and edge node id",
}
_FIRST_LEVELS: Final = frozenset(
    {
        *("node", "gateway", "tele", "stat", "cmnd", "tasmota", "shellies", "zigbee2mqtt"),
        *("homie", "homeassistant", "pyaiot", "STATE"),
    }
)


def _at(index: int) -> Callable[[Sequence[str]], str]:
    return lambda levels: levels[index] if len(levels) > index else ""


def _of_shelly_rpc(levels: Sequence[str]) -> str:
    if levels[:2] == SHELLY_SOURCE.split("/"):
        return levels[2] if len(levels) == 4 else ""
    return levels[0]


def _of_sparkplug(levels: Sequence[str]) -> str:
    return f"{levels[1]}.{levels[3]}" if len(levels) > 3 else ""


def _of_home_assistant(levels: Sequence[str]) -> str:
    if levels[0] == "homeassistant":
        return levels[2] if len(levels) in (4, 5) else ""
    return levels[0]


ACCESSES: Final[Mapping[str, DialectAccess]] = {
    it.word: it
    for it in (
        DialectAccess(
            *("tasmota", "tasmota", "Tasmota", "tasmota-"),
            ("tele/{name}/#", "stat/{name}/#"),
            ("cmnd/{name}/#", "cmnd/tasmotas/#"),
            _at(1),
            "Configuration, Configure MQTT. Topic: {name}. Full Topic: %prefix%/%topic%/",
            """mosquitto_pub -t tele/{name}/STATE -m '{{"POWER":"ON"}}'""",
            reserved=frozenset({"tasmotas"}),
        ),
        DialectAccess(
            *("shelly", "shelly", "Shelly (generation 1)", "shelly-"),
            ("shellies/{name}/#",),
            ("shellies/{name}/#", "shellies/command"),
            _at(1),
            "Internet & Security, Advanced, MQTT. Custom MQTT prefix: {name}",
            "mosquitto_pub -t shellies/{name}/relay/0 -m on",
            reserved=frozenset({"command", "announce"}),
        ),
        DialectAccess(
            *("shelly-rpc", "shelly-rpc", "Shelly (generation 2 and later)", "shelly2-"),
            (
                "{name}/online",
                "{name}/events/rpc",
                "{name}/status/#",
                f"{SHELLY_SOURCE}/{{name}}/rpc",
            ),
            ("{name}/rpc", "{name}/command/#"),
            _of_shelly_rpc,
            "Settings, MQTT. MQTT prefix: {name}, which must be the id of the device (as in"
            " shellyplusplugs-a8032ab12345). Switch on RPC status notifications over MQTT",
            "mosquitto_pub -t {name}/online -m true",
            "shelly[a-z0-9]{1,24}-[0-9a-fA-F]{6,12}",
        ),
        DialectAccess(
            *("zigbee2mqtt", "zigbee2mqtt", "Zigbee2MQTT", "z2m-"),
            ("{name}/#",),
            ("{name}/#",),
            _at(0),
            "configuration.yaml, below mqtt. base_topic: {name}",
            """mosquitto_pub -t {name}/bridge/state -m '{{"state":"online"}}'""",
            "zigbee2mqtt",
            further="z2m-",
        ),
        DialectAccess(
            *("homie", "homie", "Homie 5", "homie5-"),
            ("homie/5/{name}/#",),
            ("homie/5/{name}/#", "homie/5/$broadcast/#"),
            _at(2),
            "Device id: {name}. Base topic: homie",
            "mosquitto_pub -t 'homie/5/{name}/$state' -m ready",
        ),
        DialectAccess(
            *("homie4", "homie", "Homie 4", "homie4-"),
            ("homie/{name}/#",),
            ("homie/{name}/#", "homie/$broadcast/#"),
            _at(1),
            "Device id: {name}. Base topic: homie/",
            "mosquitto_pub -t 'homie/{name}/$state' -m ready",
            reserved=frozenset({"5"}),
        ),
        DialectAccess(
            *("sparkplug", "sparkplug", "Sparkplug B", "spb-"),
            (
                *(f"spBv1.0/{{group}}/{kind}/{{edge}}" for kind in ("NBIRTH", "NDATA", "NDEATH")),
                *(f"spBv1.0/{{group}}/{kind}/{{edge}}/+" for kind in ("DBIRTH", "DDATA", "DDEATH")),
            ),
            (
                *("spBv1.0/{group}/NCMD/{edge}", "spBv1.0/{group}/DCMD/{edge}/+"),
                *("spBv1.0/STATE/#", "STATE/#"),
            ),
            _of_sparkplug,
            "Group id and edge node id: the two parts of {name}",
            "mosquitto_sub -t spBv1.0/{group}/NCMD/{edge}",
            "[A-Za-z0-9][A-Za-z0-9_-]*[.][A-Za-z0-9_-]+",
            forbidden=":",
            further="{uid}.",
        ),
        DialectAccess(
            *("homeassistant", "homeassistant", "Home Assistant discovery", "ha-"),
            ("homeassistant/+/{name}/config", "homeassistant/+/{name}/+/config", "{name}/#"),
            ("{name}/#", "homeassistant/status"),
            _of_home_assistant,
            "Topic prefix and node id of discovery: {name} (in ESPHome: name: {name})",
            """mosquitto_pub -t homeassistant/sensor/{name}/t/config"""
            """ -m '{{"stat_t":"{name}/t","uniq_id":"{name}-t","dev":{{"ids":["{name}"]}}}}'""",
            reserved=_FIRST_LEVELS,
            is_first_come=True,
        ),
    )
}


class TopicOwners:
    """Decides, by the topic of a message, which nodes it may be about."""

    def __init__(self, has_credential: Callable[[str, str], bool]) -> None:
        """`has_credential`: whether there is a credential with this uid and kind."""
        self._has_credential = has_credential
        self._owner_of: dict[str, str] = {}
        """The credential that owns each node. Bounded by the tables of the dialects."""

    def check(self, dialect: str, topic: str, uid: str) -> None:
        """Raises `Refused` if the device that published on this topic may not have this node."""
        for access in _OF_DIALECT.get(dialect, ()):
            owner = access.owner(topic)
            if access.may_have(owner, uid) and owner and self._has_credential(owner, access.kind):
                if self._owner_of.setdefault(uid, owner) == owner:
                    return
                break
        raise Refused(f"the device that published it may not have the node {uid}")

    def may_use(self, uid: str, topic: str) -> bool:
        """Whether a node may name this topic: the topic must begin with the name of the node's
        credential."""
        owner = self._owner_of.get(uid, "")
        return topic.partition("/")[0] == owner.partition("-")[2]

    def of(self, owner: str) -> list[str]:
        """The nodes of a credential."""
        return [uid for uid, it in self._owner_of.items() if it == owner]

    def forget(self, uid: str) -> None:
        self._owner_of.pop(uid, None)


_OF_DIALECT: Final[Mapping[str, Sequence[DialectAccess]]] = {
    dialect: [it for it in ACCESSES.values() if it.dialect == dialect]
    for dialect in {it.dialect for it in ACCESSES.values()}
}
FOREIGN_KINDS: Final[Mapping[str, DialectAccess]] = {it.kind: it for it in ACCESSES.values()}
"""By the kind of the credential."""
