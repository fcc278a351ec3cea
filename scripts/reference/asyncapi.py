# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/asyncapi.json: `pyaiot.v2` for programs, as AsyncAPI 3."""

import json
from typing import Any, Final

import msgspec

from pyaiot import __version__, config, messages
from pyaiot.broker.encoders import Gap
from scripts.reference.describe import fields
from scripts.reference.messages import DIRECTIONS, doc, example_of, structs

SCHEMAS: Final = "#/components/schemas/{name}"

FRAMES: Final = {
    # Name of the frame → direction, channel, action of the broker, summary.
    "clientFrame": ("client → broker", "client", "receive", "Messages from a client."),
    "toClientFrame": ("broker → client", "client", "send", "Messages to a client."),
    "gatewayFrame": ("gateway → broker", "gateway", "receive", "Messages from a gateway."),
    "toGatewayFrame": ("broker → gateway", "gateway", "send", "Messages to a gateway."),
}


def document() -> str:
    """The text of the file."""
    section = config.BrokerSection()
    api = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pyaiot",
            "version": __version__,
            "description": "Constrained devices on the web: the WebSocket subprotocol"
            f" {messages.SUBPROTOCOL}, seen from the broker. Every frame is a JSON array of"
            " messages; a client may send a single one without the array. `type` is the"
            " type of a message.",
            "license": {"name": "BSD-3-Clause"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": f"localhost:{section.port}",
                "protocol": "ws",
                "description": "A broker with its default settings.",
            }
        },
        "channels": {
            "client": _channel("/ws", "Clients.", messages.SUBPROTOCOL),
            "gateway": _channel(
                "/gw",
                "Gateways. Each connection needs a new token, made with the key file.",
                f"{messages.SUBPROTOCOL}, token, <token>",
            ),
            "events": {
                "address": "/api/events",
                "description": "The same messages as server-sent events over HTTP: one message is"
                " the data of each event, which has its `type`. openapi.json describes how to"
                " resume.",
                "messages": {"event": {"$ref": "#/components/messages/event"}},
                "bindings": {"http": {"bindingVersion": "0.3.0"}},
            },
        },
        "operations": {
            name: {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "summary": summary,
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"}],
            }
            for name, (_, channel, action, summary) in FRAMES.items()
        }
        | {
            "event": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "The events that a reader receives.",
                "messages": [{"$ref": "#/channels/events/messages/event"}],
            }
        },
        "components": {"messages": _frames() | {"event": _event()}, "schemas": _schemas()},
    }
    return json.dumps(api, indent=2, ensure_ascii=False) + "\n"


def _channel(address: str, description: str, subprotocols: str) -> dict[str, Any]:
    name = "client" if address == "/ws" else "gateway"
    headers = {
        "type": "object",
        "properties": {"Sec-WebSocket-Protocol": {"type": "string", "examples": [subprotocols]}},
        "required": ["Sec-WebSocket-Protocol"],
    }
    return {
        "address": address,
        "description": description,
        "messages": {
            frame: {"$ref": f"#/components/messages/{frame}"}
            for frame, (_, channel, _, _) in FRAMES.items()
            if channel == name
        },
        "bindings": {"ws": {"method": "GET", "headers": headers}},
    }


def _frames() -> dict[str, Any]:
    return {
        name: {
            "name": name,
            "summary": summary,
            "description": who[0].upper() + who[1:] + ".",
            "payload": _array(direction=who),
            "examples": [{"payload": _examples(direction=who)}],
        }
        for name, (who, _, _, summary) in FRAMES.items()
    }


def _event() -> dict[str, Any]:
    """The data of one event."""
    members: list[type[msgspec.Struct]] = [*_members("broker → client"), Gap]
    return {
        "name": "event",
        "summary": "The events that a reader receives.",
        "contentType": "application/json",
        "payload": {
            "oneOf": [{"$ref": SCHEMAS.format(name=member.__name__)} for member in members]
        },
        "examples": [{"payload": _examples(direction="broker → client")[0]}],
    }


def _array(*, direction: str) -> dict[str, Any]:
    members = _members(direction)
    items = [{"$ref": SCHEMAS.format(name=member.__name__)} for member in members]
    array = {"type": "array", "items": {"oneOf": items}}
    if direction == "client → broker":
        # A client may also send a single message without the array.
        return {"anyOf": [array, {"oneOf": items}]}
    return array


def _examples(*, direction: str) -> list[Any]:
    return [
        msgspec.json.decode(messages.encode(example_of(member))) for member in _members(direction)
    ]


def _members(direction: str) -> list[type[msgspec.Struct]]:
    union = DIRECTIONS[direction]
    return [member for member in structs() if member in union.__args__]


def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components([*structs(), Gap], ref_template=SCHEMAS)
    for struct in structs():
        schema = schemas[struct.__name__]
        schema["description"] = doc(struct)
        for field in fields(struct):
            schema["properties"][field.wire]["description"] = field.meaning
    return dict(schemas)
