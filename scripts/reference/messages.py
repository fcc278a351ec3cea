# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/messages.md, from the types of `pyaiot.messages`."""

import inspect
from typing import Any, Final, get_args

import msgspec

from pyaiot import legacy, messages
from pyaiot.messages import (
    RESERVED_UIDS,
    AlertsChanged,
    Checkpoint,
    Command,
    GatewayState,
    Hello,
    Ignored,
    Join,
    Joined,
    LastValue,
    NodeAppeared,
    NodeDescribed,
    NodeForgotten,
    NodeLeft,
    NodeReset,
    NodeRules,
    NodesSeen,
    Problem,
    Reading,
    ReadingsDropped,
    Receipt,
    RegisteredNode,
    Subscription,
    TopicMappings,
    UidsSecured,
    ViewsChanged,
)
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import TopicMapping
from scripts.reference.describe import fields, table

Struct = type[msgspec.Struct]

DIRECTIONS: Final = {
    "client → broker": messages.FromClient,
    "broker → client": messages.ToClient,
    "gateway → broker": messages.FromGateway,
    "broker → gateway": messages.ToGateway,
}
"""The messages of each direction."""

UID: Final = "4A3A70052154CC1"
TS: Final = 1782135120.25
EXAMPLES: Final[tuple[messages.Message, ...]] = (
    Hello(name="coap", protocol="CoAP", version="0.1.0", instance="9f86d081884c7d65"),
    Join(data="client"),
    Subscription(
        uids=(UID,),
        resources=("temperature", "led"),
        readings_of=(UID,),
        readings_named=("name",),
    ),
    GatewayState(name="coap", protocol="CoAP", version="0.1.0", state="connected", ts=TS),
    Ignored(
        gateway="mqtt",
        count=12,
        topic="home/kitchen/temperature",
        ts=TS,
        refused=1,
        refusal="device my board at 10.0.0.7 was refused: its client id has a space",
    ),
    NodeAppeared(uid=UID, ts=TS, gateway="coap"),
    Reading(uid=UID, resource="temperature", data="23.5°C", ts=TS, number=23.5, unit="Cel"),
    NodeReset(uid=UID, ts=TS),
    NodeLeft(uid=UID, ts=TS, reason="silent"),
    RegisteredNode(
        uid=UID,
        state="offline",
        protocol="CoAP",
        gateway="coap",
        first_seen=TS - 86_400.0,
        last_seen=TS,
        boots=3,
        reason="silent",
        revision=2,
        label="Desk lamp",
        room="Lab 1",
        latitude=48.712,
        longitude=2.205,
        tags=("class-3b", "lamps"),
        notes="Battery changed in May.",
        interval_s=60.0,
        offline_after_s=300.0,
        types={"led": ResourceType(label="Lamp", source="people")},
        values=(LastValue(resource="led", data="0", ts=TS, number=0.0),),
    ),
    NodeDescribed(
        uid=UID,
        types={
            "led": ResourceType(
                kind="boolean",
                writable=True,
                device_class="light",
                on="1",
                off="0",
                source="inferred",
            ),
            "speed": ResourceType(
                kind="number",
                unit="/100",
                minimum=0,
                maximum=100,
                step=5,
                writable=True,
                source="metadata",
            ),
        },
    ),
    NodeForgotten(uid=UID),
    AlertsChanged(version=12),
    ViewsChanged(version=3),
    Joined(nodes=4, ts=TS),
    Command(id="7", uid=UID, resource="led", payload="1", timeout_s=2.0),
    Receipt(id="7", state="confirmed", detail="2.04 Changed", elapsed_ms=1.873),
    Checkpoint(number=4711),
    ReadingsDropped(ts=TS, until=TS + 60.0, lost=250),
    NodesSeen(uids=(UID,), ts=TS),
    TopicMappings(
        mappings=(TopicMapping(topic="farm/{node}/{resource}", units={"temperature": "°C"}),)
    ),
    UidsSecured(uids=(UID,)),
    NodeRules(uid=UID, offline_after_s=300.0),
    Problem(detail=f"the node {UID} belongs to the gateway coap", uid=UID, owner="coap"),
)
"""One of each, in the order of the page."""

INTRODUCTION: Final = f"""\
# Messages

<!-- Written by scripts/generate-docs from src/pyaiot/messages. -->

The messages between gateways, broker and clients, in the JSON form `{messages.SUBPROTOCOL}`. They
are also available as AsyncAPI 3: [asyncapi.json](asyncapi.json).

* A client opens a WebSocket at `/ws`, a gateway at `/gw` ([listeners](listeners.md)), with the
  subprotocol `{messages.SUBPROTOCOL}`. Without it, it gets the [legacy form](#the-legacy-form).
* Every frame is a JSON array of messages. A client may also send a single message without the
  array. A frame has at most {messages.FRAME_SIZE_MAX // 1024} kB.
* `type` is the type of the message. Fields with their default value may be omitted, and Pyaiot
  omits them. Unknown fields are ignored.
* Names (uids, resources, gateways, protocols) have 1 to {messages.NAME_LENGTH_MAX} printable
  characters. A uid is never {" or ".join(f"`{uid}`" for uid in sorted(RESERVED_UIDS))}.
* A value has at most {messages.VALUE_SIZE_MAX // 1024} kB; arrays and objects in it have at most
  {messages.JSON_DEPTH_MAX} levels.
* A client that sends an invalid message is closed with code 1003 and a reason. An invalid message
  of a gateway is ignored and logged; a message that is not allowed is answered with an `error`. The
  gateway stays connected.

An exchange between client and broker, `→` from the client:

```
← [{{"type":"hello",…}}]
→ {{"type":"new","data":"client"}}
← [{{"type":"gateway",…}},{{"type":"new",…}},{{"type":"update",…}},…,{{"type":"joined",…}}]
→ {{"type":"command","id":"7",…}}
← [{{"type":"update",…}},{{"type":"receipt","id":"7",…}}]
```
"""

LEGACY: Final = """\
## The legacy form

Deployed pages and gateways use no subprotocol. They get one JSON object per frame, with fewer
message types. The same broker serves them beside `{subprotocol}` ([how-to](../how-to/legacy.md)).

{table}
`dst` is `all`, or the id of the receiver in the answer to its `new`. Before that, a page gets only
nodes that appear after it connected: nothing about a node precedes the `new` of that node. A
gateway offers the subprotocols `token, <token>`, and sends `{{"type":"update","uid":"alive"}}`
every 30 s. There are no receipts, times, units, reasons, subscriptions or gateway states.
"""


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION, _overview()]
    parts += [_section(example) for example in EXAMPLES]
    parts += [_resource_type(), _legacy()]
    return "\n".join(parts)


def structs() -> list[Struct]:
    """All messages."""
    return list(dict.fromkeys(item for union in DIRECTIONS.values() for item in get_args(union)))


def wire_type(struct: Struct) -> str:
    """The `type` of the message."""
    tag = struct.__struct_config__.tag
    assert isinstance(tag, str)  # noqa: S101 - all our tags are text
    return tag


def title(struct: Struct) -> str:
    """Two messages are `new` on the wire; their class distinguishes them."""
    return f"`{wire_type(struct)}` – {struct.__name__}"


def directions(struct: Struct) -> list[str]:
    """The directions in which it is sent."""
    return [name for name, union in DIRECTIONS.items() if struct in get_args(union)]


def doc(struct: Struct) -> str:
    """The docstring on one line."""
    return " ".join((inspect.getdoc(struct) or "").split())


def example_of(struct: Struct) -> messages.Message:
    """The one example of a message. Raises `ValueError` if there is none, or more."""
    (example,) = (example for example in EXAMPLES if type(example) is struct)
    return example


def _overview() -> str:
    rows = []
    for struct in map(type, EXAMPLES):
        anchor = f"#{wire_type(struct)}--{struct.__name__.lower()}"
        rows.append((f"[{title(struct)}]({anchor})", ", ".join(directions(struct)), doc(struct)))
    assert {type(example) for example in EXAMPLES} == set(structs())  # noqa: S101 - one of each
    return table(("message", "direction", "meaning"), rows)


def _section(example: messages.Message) -> str:
    struct = type(example)
    rows: list[tuple[str, ...]] = [
        ("`type`", f"`{wire_type(struct)}`", "required", "", "The type of the message.")
    ]
    rows += [
        (f"`{field.wire}`", field.type, field.default, field.limit, field.meaning)
        for field in fields(struct)
    ]
    return "\n".join(
        (
            f"## {title(struct)}\n",
            f"{', '.join(directions(struct))}. {doc(struct)}\n",
            table(("field", "type", "default", "limit", "meaning"), rows),
            f"```json\n{messages.encode(example).decode()}\n```\n",
        )
    )


def _resource_type() -> str:
    rows = [
        (f"`{field.wire}`", field.type, field.limit, field.meaning)
        for field in fields(ResourceType)
    ]
    return "\n".join(
        (
            "## The type of a resource\n",
            f"{doc(ResourceType)} See [resource types](../explanation/resource-types.md).\n",
            table(("field", "type", "limit", "meaning"), rows),
        )
    )


def _legacy() -> str:
    def to_client(struct: Struct) -> bytes | None:
        return legacy.encode_to_client(example_of(struct), legacy.TO_ALL)

    command = example_of(Command)
    assert isinstance(command, Command)  # noqa: S101 - by its type
    write: dict[str, Any] = {
        "type": "update",
        "data": {"uid": command.uid, "endpoint": command.resource, "payload": command.payload},
    }
    forwarded = legacy.encode_to_gateway(msgspec.structs.replace(command, client="CLIENT"))
    new = messages.encode(example_of(Join))
    lines: list[tuple[str, bytes | None, Struct]] = [
        ("client → broker", new, Join),
        ("client → broker", msgspec.json.encode(write), Command),
        ("broker → client, gateway → broker", to_client(NodeAppeared), NodeAppeared),
        ("broker → client, gateway → broker", to_client(Reading), Reading),
        ("broker → client, gateway → broker", to_client(NodeReset), NodeReset),
        ("broker → client, gateway → broker", to_client(NodeLeft), NodeLeft),
        ("broker → gateway", forwarded, Command),
    ]
    rows = [
        (who, f"`{wire.decode()}`", struct.__name__)
        for who, wire, struct in lines
        if wire is not None
    ]
    return LEGACY.format(
        subprotocol=messages.SUBPROTOCOL,
        table=table(("direction", "frame", "message"), rows),
    )
