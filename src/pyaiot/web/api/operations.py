# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the HTTP API with their parameters and responses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pyaiot.registry.record import Edit
from pyaiot.web.api import cluster_schemas, parameters, schemas
from pyaiot.web.api.alert_operations import ALERT_OPERATIONS
from pyaiot.web.api.audit_query import AuditQuery
from pyaiot.web.api.history_operations import HISTORY_OPERATIONS
from pyaiot.web.api.mapping_operations import MAPPING_OPERATIONS
from pyaiot.web.api.operation import Operation, RequestHeader, ResponseSpec
from pyaiot.web.api.plan_operations import PLAN_OPERATIONS
from pyaiot.web.api.view_operations import VIEW_OPERATIONS

JSON: Final = "application/json"
NODES: Final = "/api/nodes"
NODE: Final = NODES + "/{uid}"
THINGS: Final = "/things"
THING: Final = THINGS + "/{uid}"
RESOURCE: Final = NODE + "/resources/{name}"

VALUE: Final = RESOURCE + "/value"

PATH_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "uid": "The uid of the node. Percent-encoded, a `/` as `%2F`.",
        "name": "The name of the resource. Percent-encoded, a `/` as `%2F`.",
        "id": "The `id` of the command.",
        "rule": "The id of the rule.",
        "channel": "The name of the channel.",
        "window": "The id of the maintenance.",
        "mapping": "The id of the mapping.",
        "view": "The id of the view.",
        "room": "The name of the room. Percent-encoded, a `/` as `%2F`.",
    }
)

_ID: Final = r"^[a-z0-9][a-z0-9-]{0,63}$"
PATH_PATTERNS: Final = {"view": _ID, "mapping": _ID}
"""Patterns of parameters in the path. Other values are refused."""
_EDIT_PROBLEMS: Final[Mapping[int, tuple[str, ...]]] = {
    409: ("registry-full",),
    415: ("unsupported-type",),
    503: ("registry-unavailable",),
}
_IF_MATCH: Final = RequestHeader(
    "If-Match",
    'The `ETag` of the node, or its revision (`"7"`). If people edited it since: 412. Readings do'
    " not matter.",
    pattern=r'^(\*|"[0-9]{1,18}(-[0-9a-f]{16})?")$',
)
_UNKNOWN_RESOURCE: Final = {404: ("unknown-node", "unknown-resource")}

OPERATIONS: Final = (
    Operation(
        "info",
        "GET",
        "/api/info",
        "This broker",
        {200: ResponseSpec("Title, version and features.", schemas.BrokerInfo)},
    ),
    Operation(
        "gateways",
        "GET",
        "/api/gateways",
        "The gateways",
        {200: ResponseSpec("The connected gateways.", schemas.Gateways)},
        conditional=True,
    ),
    Operation(
        "cluster",
        "GET",
        "/api/cluster",
        "The brokers of the cluster",
        {200: ResponseSpec("This broker and the others.", cluster_schemas.ClusterInfo)},
    ),
    Operation(
        "nodes",
        "GET",
        NODES,
        "The nodes and their latest values",
        {200: ResponseSpec("A page of nodes.", schemas.NodesPage)},
        description="Online and offline nodes, unless the filter selects other states.",
        query=parameters.NodesQuery,
        problems={400: ("bad-request",)},
        conditional=True,
    ),
    Operation(
        "node",
        "GET",
        NODE,
        "One node and its latest values",
        {200: ResponseSpec("The node.", schemas.NodeInfo)},
        problems={404: ("unknown-node",)},
        conditional=True,
    ),
    Operation(
        "things",
        "GET",
        THINGS,
        "Thing Descriptions of the nodes",
        {
            200: ResponseSpec(
                "Thing Descriptions (W3C WoT, version 1.1), a JSON array.",
                other_types=("application/td+json",),
                headers={"Link": "The next page, with `rel=next`; absent: this is the last."},
            )
        },
        description="Online and offline nodes, in the order in which they were first seen. The"
        " header `Link` has the next page.",
        query=parameters.ThingsQuery,
        problems={400: ("bad-request",)},
    ),
    Operation(
        "thing",
        "GET",
        THING,
        "The Thing Description of a node",
        {
            200: ResponseSpec(
                "The Thing Description (W3C WoT, version 1.1).",
                other_types=("application/td+json",),
            )
        },
        description="A property or action for each resource whose kind is known.",
        problems={404: ("unknown-node",)},
        conditional=True,
    ),
    Operation(
        "register",
        "POST",
        NODES,
        "Register nodes, or edit them",
        {200: ResponseSpec("The registered nodes.", schemas.ChangedNodes)},
        description="All or none. A node may be registered before it is seen for the first time;"
        " it is accepted.",
        json_body=schemas.Registrations,
        problems={**_EDIT_PROBLEMS, 403: ("not-in-scope",)},
    ),
    Operation(
        "edit_nodes",
        "PATCH",
        NODES,
        "Edit several nodes",
        {200: ResponseSpec("The edited nodes.", schemas.ChangedNodes)},
        description="The nodes that the filter selects; without a condition, none. All or none.",
        query=parameters.FilterQuery,
        json_body=Edit,
        problems={**_EDIT_PROBLEMS, 413: ("too-many-nodes",)},
    ),
    Operation(
        "forget_nodes",
        "DELETE",
        NODES,
        "Forget several nodes",
        {200: ResponseSpec("The forgotten nodes.", schemas.ChangedNodes)},
        description="The offline nodes that the filter selects; without a condition, none."
        " Waiting nodes are removed. The history keeps their readings.",
        query=parameters.FilterQuery,
        problems={
            409: ("online",),
            413: ("too-many-nodes",),
            503: ("registry-unavailable",),
        },
    ),
    Operation(
        "edit",
        "PATCH",
        NODE,
        "Edit a node",
        {200: ResponseSpec("The node.", schemas.NodeInfo)},
        description="A JSON merge patch (RFC 7396): absent fields stay, null clears. The edit is"
        " on disk when the response is sent.",
        headers=(_IF_MATCH,),
        json_body=Edit,
        problems={**_EDIT_PROBLEMS, 404: ("unknown-node",), 412: ("edited-meanwhile",)},
    ),
    Operation(
        "forget",
        "DELETE",
        NODE,
        "Forget a node",
        {204: ResponseSpec("The node was removed.")},
        description="An offline node leaves the registry with all that people added; a new node"
        " that waits is removed. The history keeps its readings.",
        headers=(_IF_MATCH,),
        problems={
            404: ("unknown-node",),
            409: ("online",),
            412: ("edited-meanwhile",),
            503: ("registry-unavailable",),
        },
    ),
    Operation(
        "restore",
        "POST",
        NODE + "/restore",
        "Restore a forgotten node",
        {200: ResponseSpec("The node.", schemas.NodeInfo)},
        description="Undoes `forget` within 10 minutes, unless the broker restarted or the node"
        " came back by itself.",
        problems={404: ("unknown-node",), 503: ("registry-unavailable",)},
    ),
    Operation(
        "resource",
        "GET",
        RESOURCE,
        "The latest value of a resource",
        {200: ResponseSpec("The reading.", schemas.LatestReading)},
        problems=_UNKNOWN_RESOURCE,
        conditional=True,
    ),
    Operation(
        "value",
        "GET",
        VALUE,
        "The latest value of a resource, without metadata",
        {200: ResponseSpec("The value, as JSON.", is_any_json=True)},
        description="As the type of the resource has it: a number, true or false, a text. As the"
        " device sent it if it does not fit its type.",
        problems=_UNKNOWN_RESOURCE,
        conditional=True,
    ),
    Operation(
        "write",
        "PUT",
        RESOURCE,
        "Write to a resource",
        {
            200: ResponseSpec("The node confirmed the command.", schemas.CommandStatus),
            202: ResponseSpec(
                "The command was sent to a node that does not acknowledge (`sent`), or the client "
                "requested not to wait (`pending`).",
                schemas.CommandStatus,
                headers={
                    "Location": "Where to query the state of the command.",
                    "Preference-Applied": "`respond-async`, if it was requested.",
                },
            ),
        },
        description="The response is sent when the receipt arrives. A command is carried out at"
        " most once.",
        query=parameters.WriteQuery,
        headers=(
            RequestHeader(
                "Prefer",
                "`respond-async`: respond with 202 at once; the receipt is then available at"
                " `Location` (RFC 7240 section 4.1).",
                example="respond-async",
            ),
            RequestHeader(
                "Idempotency-Key",
                "Any unique text. If the same command is sent again with it within 24 hours, it is"
                " not carried out again, and the response is that of the first one. A different"
                " command with it is refused with 409. Commands that were not sent, such as those"
                " above the rate limit, are not remembered. At most 10,000 keys of one client are"
                " remembered; a command with one more is refused with 429 and not carried out."
                " Keys survive a restart of the broker.",
                length_max=255,
                example="8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
        ),
        body="The value to write: UTF-8 text of at most 64 kB. The device gets it in its own words"
        " if the type of the resource is known. Of a JSON text with the `Content-Type`"
        " application/json, the quotes are removed.",
        problems={
            400: ("bad-request",),
            403: ("not-in-scope",),
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
        "write_nodes",
        "POST",
        "/api/commands",
        "Write to a resource of several nodes",
        {
            200: ResponseSpec(
                "Every command has a receipt, whose `state` is the outcome.",
                schemas.CommandStatuses,
            )
        },
        description="The nodes that the filter selects; without a condition, none. An"
        " offline node gets the receipt `unreachable`. Commands beyond 40 are sent at 20 a second.",
        query=parameters.FilterQuery,
        json_body=schemas.CommandForMany,
        problems={
            404: ("unknown-resource",),
            413: ("too-many-nodes",),
            415: ("unsupported-type",),
            503: ("busy",),
        },
    ),
    Operation(
        "command",
        "GET",
        "/api/commands/{id}",
        "The state of a command",
        {200: ResponseSpec("The command and its receipt.", schemas.CommandStatus)},
        description="Commands with an `Idempotency-Key` are remembered for 24 hours; of the others,"
        " the last 1,000 of each client and 10,000 in total, until the broker restarts.",
        problems={404: ("unknown-command",)},
    ),
    *HISTORY_OPERATIONS,
    Operation(
        "audit",
        "GET",
        "/api/audit",
        "Who did what to which node",
        {200: ResponseSpec("Entries of the audit log, the newest first.", schemas.AuditPage)},
        description="A page has at most `limit` entries. It may have fewer, even none, and a"
        " `next`: a request reads 8 MB of the log at most.",
        query=AuditQuery,
        problems={400: ("bad-request",), 404: ("no-audit",), 503: ("busy", "audit-unavailable")},
        for_admins=True,
    ),
    *ALERT_OPERATIONS,
    *MAPPING_OPERATIONS,
    *VIEW_OPERATIONS,
    *PLAN_OPERATIONS,
    Operation(
        "devices",
        "GET",
        "/api/devices",
        "Devices with credentials",
        {200: ResponseSpec("The devices, and the protocols.", schemas.Devices)},
        problems={503: ("devices-unavailable",)},
        for_admins=True,
    ),
    Operation(
        "add_device",
        "POST",
        "/api/devices",
        "Give a device a credential",
        {
            201: ResponseSpec(
                "The secret, and code to paste into the device.", schemas.NewDeviceCredential
            )
        },
        json_body=schemas.NewDeviceRequest,
        problems={404: ("no-devices",), 409: ("device-refused",), 415: ("unsupported-type",)},
        for_admins=True,
    ),
    Operation(
        "remove_device",
        "DELETE",
        "/api/devices/{uid}",
        "Remove the credentials of a device",
        {204: ResponseSpec("The credentials were removed, and sessions of the device are closed.")},
        problems={404: ("no-devices", "unknown-device"), 503: ("devices-unavailable",)},
        for_admins=True,
    ),
    Operation(
        "stream",
        "GET",
        "/api/events",
        "Live events",
        {
            200: ResponseSpec(
                "An endless stream of server-sent events.", None, ("text/event-stream",)
            )
        },
        description="Each event has the `type` of a message of `pyaiot.v2` and the message as its"
        " data. The stream begins with the current state, which ends with `joined`. A client that"
        " reconnects with `Last-Event-ID` gets the missed events instead, or, if they are no longer"
        " available, an event `gap` and the current state. A client that reads too slowly gets only"
        " the latest reading of each resource.",
        query=parameters.StreamQuery,
        headers=(
            RequestHeader(
                "Last-Event-ID",
                "The last received `id`. Browsers send it automatically.",
            ),
        ),
        problems={400: ("bad-request",), 503: ("busy",)},
    ),
    Operation(
        "openapi",
        "GET",
        "/api/openapi.json",
        "The OpenAPI document",
        {200: ResponseSpec("OpenAPI 3.1.", None, (JSON,))},
        conditional=True,
    ),
    Operation(
        "docs",
        "GET",
        "/api/docs",
        "The documentation of this API",
        {200: ResponseSpec("An HTML page.", None, ("text/html",))},
        conditional=True,
    ),
)
