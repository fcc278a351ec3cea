# SPDX-License-Identifier: BSD-3-Clause
"""A node as a W3C Thing Description, version 1.1. Pure.

https://www.w3.org/TR/wot-thing-description11/: sections 5.3.1 (Thing, affordances), 5.3.2 (data
schemas), 5.3.4 (forms) and 8.3 (HTTP).
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pyaiot.model import ResourceType
from pyaiot.registry.record import NodeRecord

CONTEXT: Final = "https://www.w3.org/2022/wot/td/v1.1"
_VALUE: Final = "/value"

_COLOUR: Final = {"type": "string", "pattern": "^#[0-9a-f]{6}$"}
_POSITION: Final = {
    "type": "object",
    "properties": {
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "lng": {"type": "number", "minimum": -180, "maximum": 180},
    },
    "required": ["lat", "lng"],
}


def thing_description(
    record: NodeRecord, types: Mapping[str, ResourceType], base: str, *, signs_in: bool
) -> dict[str, Any]:
    """The description of a node. `types`: the types of its resources. `base`: the URL of the
    broker, with `/` at the end. `signs_in`: clients must sign in.

    Resources of an unknown kind are left out. Commands are actions, all others are properties.
    """
    properties: dict[str, Any] = {}
    actions: dict[str, Any] = {}
    for name, it in types.items():
        href = f"resources/{quote(name, safe='')}"
        if it.kind == "command":
            actions[name] = _with_title(it, {"input": _input(it), "forms": [_writing(href, it)]})
        elif it.kind:
            properties[name] = _property(it, href)
    uid = quote(record.uid, safe="")
    security = "bearer_sc" if signs_in else "nosec_sc"
    found: dict[str, Any] = {
        "@context": [CONTEXT, {"@language": "en"}],
        "id": f"{base}things/{uid}",
        "title": record.name,
        "base": f"{base}api/nodes/{uid}/",
        "securityDefinitions": {
            security: {"scheme": "bearer"} if signs_in else {"scheme": "nosec"}
        },
        "security": [security],
        "properties": properties,
        "actions": actions,
    }
    if record.annotations.notes:
        found["description"] = record.annotations.notes
    return found


def _property(it: ResourceType, href: str) -> dict[str, Any]:
    reading = {"href": href + _VALUE, "op": ["readproperty"], "contentType": "application/json"}
    forms = [reading]
    if it.writable is not False:
        forms.append(_writing(href, it))
    # For some resources it is not known whether they are writable: only a refusal shows it.
    return _with_title(
        it, {**_schema(it), "readOnly": it.writable is False, "observable": False, "forms": forms}
    )


def _writing(href: str, it: ResourceType) -> dict[str, Any]:
    return {
        "href": href,
        "op": ["invokeaction" if it.kind == "command" else "writeproperty"],
        "contentType": "application/json",
        "htv:methodName": "PUT",
    }


def _with_title(it: ResourceType, affordance: dict[str, Any]) -> dict[str, Any]:
    return {"title": it.label, **affordance} if it.label else affordance


def _input(it: ResourceType) -> dict[str, Any]:
    return {"type": "string", "enum": list(it.choices)} if it.choices else {"type": "string"}


def _schema(it: ResourceType) -> dict[str, Any]:
    match it.kind:
        case "number":
            limits = {"minimum": it.minimum, "maximum": it.maximum, "multipleOf": it.step}
            known = {name: value for name, value in limits.items() if value is not None}
            if "minimum" in known:
                known.pop("multipleOf", None)  # the steps have another origin
            return {"type": "number", **known, **({"unit": it.unit} if it.unit else {})}
        case "boolean":
            return {"type": "boolean"}
        case "enum":
            # A device may report values that cannot be written.
            return {"type": "string", **({"enum": list(it.choices)} if it.choices else {})}
        case "text":
            lengths = {"minLength": it.minimum, "maxLength": it.maximum}
            return {
                "type": "string",
                **{name: int(value) for name, value in lengths.items() if value is not None},
            }
        case "colour":
            return dict(_COLOUR)
        case "position":
            return dict(_POSITION)
        case "vector":
            return {"oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "object"}]}
        case _:
            return {}
