# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the HTTP API: what it takes, what it answers. The documents are made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import msgspec

from pyaiot.web.api import parameters, schemas
from pyaiot.web.api.parameters import Query

JSON: Final = "application/json"
STREAMED: Final = (
    "text/csv",
    "application/x-ndjson",
    "application/senml+json",
    "application/vnd.apache.arrow.stream",
)
HISTORY_PROBLEMS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        400: ("bad-request",),
        404: ("no-history",),
        406: ("no-arrow",),
        413: ("too-many-rows",),
        503: ("too-slow", "history-unavailable", "busy"),
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes with a status that is no problem."""

    says: str
    body: type[msgspec.Struct] | None = None
    """As JSON."""
    others: tuple[str, ...] = ()
    """Other media types in which it may come."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names and meanings."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header of a request, which may be absent."""

    name: str
    says: str
    length_max: int | None = None
    example: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    name: str
    method: str
    path: str
    summary: str
    answers: Mapping[int, Answer]
    says: str = ""
    query: type[Query] = Query
    headers: tuple[Header, ...] = ()
    body: str = ""
    """What the body of the request is, if there is one. It is text."""
    problems: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Statuses and kinds. Every operation may also answer 400, 401, 403 and 500."""
    conditional: bool = False
    """Answers 304 to who has the same already."""


NODE: Final = "/api/nodes/{uid}"
RESOURCE: Final = NODE + "/resources/{name}"

PATH_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "uid": "The node. Percent-encoded, a `/` as `%2F`.",
        "name": "The resource. Percent-encoded, a `/` as `%2F`.",
        "id": "The `id` of the command.",
    }
)

_UNKNOWN_RESOURCE: Final = {404: ("unknown-node", "unknown-resource")}
_TEXT: Final = "As text"

OPERATIONS: Final = (
    Operation(
        "info",
        "GET",
        "/api/info",
        "This broker",
        {200: Answer("What it is called, and what it offers.", schemas.Info)},
    ),
    Operation(
        "gateways",
        "GET",
        "/api/gateways",
        "The gateways",
        {200: Answer("Those that are connected.", schemas.Gateways)},
        conditional=True,
    ),
    Operation(
        "nodes",
        "GET",
        "/api/nodes",
        "The nodes and their latest values",
        {200: Answer("A page of them.", schemas.Nodes)},
        query=parameters.NodesQuery,
        problems={400: ("bad-request",)},
        conditional=True,
    ),
    Operation(
        "node",
        "GET",
        NODE,
        "One node and its latest values",
        {200: Answer("The node.", schemas.Node)},
        problems={404: ("unknown-node",)},
        conditional=True,
    ),
    Operation(
        "resource",
        "GET",
        RESOURCE,
        "The latest value of a resource",
        {200: Answer("The reading.", schemas.LatestReading)},
        problems=_UNKNOWN_RESOURCE,
        conditional=True,
    ),
    Operation(
        "write",
        "PUT",
        RESOURCE,
        "Write to a resource",
        {
            200: Answer("The node did it.", schemas.Command),
            202: Answer(
                "It went where nobody acknowledges (`sent`), or you did not want to wait"
                " (`pending`).",
                schemas.Command,
                headers={
                    "Location": "Where to ask what became of it.",
                    "Preference-Applied": "`respond-async`, if that was asked for.",
                },
            ),
        },
        says="The answer comes with the receipt. A command is carried out at most once.",
        query=parameters.WriteQuery,
        headers=(
            Header(
                "Prefer",
                "`respond-async`: answer 202 at once, and tell the receipt at `Location` (RFC 7240"
                " section 4.1).",
                example="respond-async",
            ),
            Header(
                "Idempotency-Key",
                "Any text of your own. The same again within 24 hours with the same command does"
                " nothing but wait for the same receipt; another command with it is refused with"
                " 409. What went nowhere, such as a command above the rate, is not remembered. At"
                " most 10,000 keys of one client are; a command with one more is refused with"
                " 429 and not carried out. A restart of the broker forgets all keys.",
                length_max=255,
                example="8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
        ),
        body="What to write, as it is, whatever its `Content-Type` says: text in UTF-8, at most"
        " 64 kB.",
        problems={
            400: ("bad-request",),
            404: ("unknown-node",),
            409: ("key-reused",),
            413: ("bad-request",),
            429: ("too-fast", "too-many-keys"),
            502: ("refused",),
            503: ("unreachable", "busy"),
            504: ("timeout",),
        },
    ),
    Operation(
        "command",
        "GET",
        "/api/commands/{id}",
        "What became of a command",
        {200: Answer("All that is known of it.", schemas.Command)},
        says="Commands with an `Idempotency-Key` are remembered for 24 hours, of the others the"
        " last 1,000 of each client and 10,000 in all, until the broker ends.",
        problems={404: ("unknown-command",)},
    ),
    Operation(
        "history",
        "GET",
        RESOURCE + "/history",
        "Readings of a resource, or steps of many",
        {
            200: Answer(
                "Readings by time. What was never heard is no problem: there are none.",
                schemas.Readings,
                STREAMED,
            )
        },
        says="All there is in the range, or a problem: nothing is left out in silence.",
        query=parameters.HistoryQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "export",
        "GET",
        "/api/export",
        "Readings of all nodes, any number of them",
        {200: Answer("A stream, by uid, resource and time.", None, STREAMED)},
        says="If something goes wrong on the way, the connection breaks off: a transfer that ended"
        " well is complete. NDJSON lines are `ExportedReading`.",
        query=parameters.ExportQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "history_events",
        "GET",
        "/api/history/events",
        "When nodes came and went, and gaps of the history",
        {200: Answer("Events by time.", schemas.Events)},
        query=parameters.EventsQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "history_commands",
        "GET",
        "/api/history/commands",
        "Commands of whomever, and their receipts",
        {200: Answer("Commands by time.", schemas.StoredCommands)},
        query=parameters.CommandsQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "stream",
        "GET",
        "/api/events",
        "What happens, as it happens",
        {200: Answer("Server-sent events, without end.", None, ("text/event-stream",))},
        says="Each event has the `type` of a message of `pyaiot.v2` and the message as its data."
        " First comes everything that is known, up to `joined`. Who comes back with"
        " `Last-Event-ID` gets what was missed instead, or, where that is not known any more, an"
        " event `gap` and everything anew. Who reads too slowly gets the latest of each resource.",
        query=parameters.StreamQuery,
        headers=(
            Header(
                "Last-Event-ID",
                "The `id` that came last. Browsers send it by themselves.",
            ),
        ),
        problems={400: ("bad-request",), 503: ("busy",)},
    ),
    Operation(
        "openapi",
        "GET",
        "/api/openapi.json",
        "This API for programs",
        {200: Answer("OpenAPI 3.1.", None, (JSON,))},
        conditional=True,
    ),
    Operation(
        "docs",
        "GET",
        "/api/docs",
        "This API for people",
        {200: Answer("A page.", None, ("text/html",))},
        conditional=True,
    ),
)
