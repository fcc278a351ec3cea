# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the HTTP API about the history."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pyaiot.web.api import history_schemas as schemas
from pyaiot.web.api import parameters
from pyaiot.web.api.operation import Operation, ResponseSpec

STREAMED: Final = (
    "text/csv",
    "application/x-ndjson",
    "application/senml+json",
    "application/vnd.apache.arrow.stream",
)
HISTORY_PROBLEMS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        400: ("bad-request",),
        404: ("no-history", "unknown-node", "unknown-resource"),
        406: ("no-arrow",),
        413: ("too-many-rows",),
        503: ("too-slow", "history-unavailable", "busy"),
    }
)

HISTORY_OPERATIONS: Final = (
    Operation(
        "history",
        "GET",
        "/api/nodes/{uid}/resources/{name}/history",
        "Readings of a resource, or aggregated steps",
        {
            200: ResponseSpec(
                "Readings, oldest first. For an unknown resource the list is empty.",
                schemas.Readings,
                STREAMED,
            )
        },
        description="Returns everything in the range or a problem, never an incomplete result.",
        query=parameters.HistoryQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "export",
        "GET",
        "/api/export",
        "All readings of all nodes",
        {200: ResponseSpec("A stream, by uid, resource and time.", None, STREAMED)},
        description="If an error occurs during the transfer, the connection is aborted: a transfer"
        " that ends normally is complete. NDJSON lines are `ExportedReading`.",
        query=parameters.ExportQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "history_events",
        "GET",
        "/api/history/events",
        "Events of nodes and gateways, and gaps of the history",
        {200: ResponseSpec("Events by time.", schemas.Events)},
        query=parameters.EventsQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "history_state",
        "GET",
        "/api/history/state",
        "The values and states of nodes at a past time",
        {200: ResponseSpec("A page of nodes, ordered by uid.", schemas.PastState)},
        description="Of each resource the last reading before, as far back as readings are kept;"
        " downsampled values are not used. Nodes without readings are not listed.",
        query=parameters.StateQuery,
        problems=HISTORY_PROBLEMS,
    ),
    Operation(
        "history_commands",
        "GET",
        "/api/history/commands",
        "Commands issued by any client, and their receipts",
        {200: ResponseSpec("Commands by time.", schemas.StoredCommands)},
        query=parameters.CommandsQuery,
        problems=HISTORY_PROBLEMS,
    ),
)
