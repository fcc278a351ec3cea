# SPDX-License-Identifier: BSD-3-Clause
"""The type of a resource according to its CoRE link: the attributes `rt`, `if`, `ct` and `title`.

`rt` and `if`: RFC 6690 sections 3.1 and 3.2; `ct`: RFC 7252 section 7.2.1; `title`: RFC 8288
section 3.4.1.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from pyaiot.model.known import KNOWN, SWITCHES, class_of
from pyaiot.model.types import UNKNOWN, ResourceType, fitted

WORDS_MAX: Final = 16
"""Largest number of words of `rt`, and of `if`, that are examined. Further ones are ignored."""

_READ_ONLY: Final = frozenset({"core.s", "core.rp", "oic.if.s", "oic.if.r", "sensor"})
"""Interfaces of sensors and read-only parameters (draft-ietf-core-interfaces, OCF core)."""
_WRITABLE: Final = frozenset({"core.a", "core.p", "oic.if.a", "oic.if.rw", "actuator"})

_UNIT_BY_WORD: Final[dict[str, str]] = {
    "temperature": "Cel",
    "humidity": "%RH",
    "illuminance": "lx",
    "lux": "lx",
    "battery": "%EL",
}
"""The unit that a word of `rt` implies, for nodes that do not state another one."""
_TYPES_BY_WORD: Final[dict[str, ResourceType]] = {
    "switch.binary": ResourceType(kind="boolean", device_class="switch"),
    "oic.r.switch.binary": ResourceType(kind="boolean", device_class="switch", writable=True),
    "oic.r.light.dimming": ResourceType(kind="number", unit="/100", minimum=0, maximum=100),
    "oic.r.light.brightness": ResourceType(kind="number", unit="/100", minimum=0, maximum=100),
    "oic.r.colour.rgb": ResourceType(kind="colour", form="rgb"),
    "oic.r.button": ResourceType(kind="boolean", writable=False),
    "oic.r.temperature": ResourceType(kind="number", unit="Cel", device_class="temperature"),
    "oic.r.humidity": ResourceType(kind="number", unit="%RH", device_class="humidity"),
}
_SEPARATOR: Final = re.compile(r"[^a-z0-9]+")

_JSON_FORMATS: Final = frozenset({50, 60})
"""Content-Formats application/json and application/cbor."""


def type_of_link(
    *,
    rt: Iterable[str] = (),
    interfaces: Iterable[str] = (),
    content_formats: Iterable[str] = (),
    title: str = "",
) -> ResourceType:
    """The type according to the attributes of a link; `UNKNOWN` if none is recognised. Never
    raises.

    `rt` and `interfaces` (`if`): the words of these attributes; `content_formats` (`ct`): their
    numbers as text.
    """
    found = UNKNOWN
    for word in list(rt)[:WORDS_MAX]:
        found = _by_resource_type(word.lower())
        if found.kind:
            break
    words = {word.lower() for word in list(interfaces)[:WORDS_MAX]}
    writable = found.writable
    if words & _WRITABLE:
        writable = True
    elif words & _READ_ONLY:
        writable = False
    formats = {int(text) for text in list(content_formats)[:WORDS_MAX] if _is_format(text)}
    if not found.kind and formats and formats <= _JSON_FORMATS:
        found = ResourceType(kind="json")
    result = fitted(msgspec.structs.replace(found, writable=writable, label=title))
    return UNKNOWN if result == UNKNOWN else msgspec.structs.replace(result, source="links")


def _is_format(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _by_resource_type(word: str) -> ResourceType:
    """Recognises `temperature-c`, `ucum:Cel`, `oic.r.switch.binary`, `led` and the like."""
    if word in _TYPES_BY_WORD:
        return _TYPES_BY_WORD[word]
    if word in KNOWN:
        return KNOWN[word]
    parts = tuple(part for part in _SEPARATOR.split(word) if part)
    for part in reversed(parts):
        if part in _UNIT_BY_WORD:
            unit = _UNIT_BY_WORD[part]
            return ResourceType(kind="number", unit=unit, device_class=class_of(unit, parts))
    for part in parts:
        if part in SWITCHES:
            return SWITCHES[part]
    return UNKNOWN
