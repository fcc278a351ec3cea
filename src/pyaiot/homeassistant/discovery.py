# SPDX-License-Identifier: BSD-3-Clause
"""The discovery message of a node: one device with its entities. Pure.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, of Home Assistant 2024.11
and newer.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from pyaiot import __version__
from pyaiot.homeassistant.entities import Entity
from pyaiot.homeassistant.names import ORIGIN, Topics, escaped, unique_id
from pyaiot.model.names import title_of

EARLIER_SIZE_MAX: Final = 256 * 1024
"""Largest retained discovery message that is examined, in bytes."""
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Description(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The description of the device in Home Assistant."""

    name: str
    room: str = ""
    vendor: str = ""
    model: str = ""
    version: str = ""


def component_key(resource: str, entity: Entity) -> str:
    """The key of a component. It contains the platform, so that an entity that changes its
    platform is removed and added in one message.
    """
    return f"{entity.platform}.{escaped(resource)}"


def config_payload(
    topics: Topics,
    device: str,
    description: Description,
    entities: Mapping[str, Entity],
    removed: Iterable[str] = (),
) -> bytes:
    """Encode the discovery message, with the same bytes for the same node.

    `entities`: by resource. `removed`: keys of components in earlier messages: they are sent with
    their platform alone, which removes the entity.
    """
    components: dict[str, dict[str, Any]] = {key: {"p": key.partition(".")[0]} for key in removed}
    for resource, entity in entities.items():
        components[component_key(resource, entity)] = {
            **entity.component(
                title_of(resource), topics.state(device, resource), topics.command(device, resource)
            ),
            "uniq_id": unique_id(device, resource),
        }
    about = {
        "ids": [device],
        "name": description.name,
        "mf": description.vendor,
        "mdl": description.model,
        "sw": description.version,
        "sa": description.room,
    }
    return _encode(
        {
            "dev": {key: value for key, value in about.items() if value},
            "o": {"name": ORIGIN, "sw": __version__},
            "cmps": components,
            "avty": [{"t": topics.status}, {"t": topics.availability(device)}],
            "avty_mode": "all",
        }
    )


class _Origin(msgspec.Struct, frozen=True):
    name: str = ""


class _Earlier(msgspec.Struct, frozen=True):
    o: _Origin = _Origin()
    cmps: dict[str, dict[str, Any]] = {}


_decode: Final = msgspec.json.Decoder(_Earlier).decode


def components_of(payload: bytes) -> frozenset[str] | None:
    """The keys of the components in a discovery message that Pyaiot published, including removed
    ones; None for any other message. Never raises.
    """
    if len(payload) > EARLIER_SIZE_MAX:
        return None
    try:
        earlier = _decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return frozenset(earlier.cmps) if earlier.o.name == ORIGIN else None
