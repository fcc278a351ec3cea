# SPDX-License-Identifier: BSD-3-Clause
"""The role that each route of the broker requires. Applies if clients must sign in."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from aiohttp import hdrs, web

from pyaiot.accounts.roles import Role, includes
from pyaiot.messages import (
    Checkpoint,
    Command,
    FromClient,
    FromGateway,
    Hello,
    Ignored,
    Join,
    NodeAppeared,
    NodeDescribed,
    NodeLeft,
    NodeReset,
    NodesSeen,
    Reading,
    ReadingsDropped,
    Receipt,
    Subscription,
    UidsSecured,
)
from pyaiot.web.api.operations import OPERATIONS

Need: TypeAlias = Role | Literal["public", "gateway"]
"""`public`: any client. `gateway`: the handler checks the token of the gateway."""

NEEDS: Final[Mapping[tuple[str, str], Need]] = {
    ("GET", "/login"): "public",
    ("POST", "/login"): "public",  # it checks the invitation or the password
    ("POST", "/logout"): "public",  # it ends the session of the request, if there is one
    ("GET", "/healthz"): "public",
    ("GET", "/gw"): "gateway",  # it checks the token
    # A client connects as a viewer; each of its commands is authorised separately.
    ("GET", "/ws"): "viewer",
    ("GET", "/readyz"): "viewer",
    ("GET", "/metrics"): "viewer",
    ("GET", "/api"): "viewer",
    ("GET", "/api/"): "viewer",
    ("GET", "/api/docs.css"): "viewer",
    ("GET", "/api/docs.js"): "viewer",
    ("GET", "/"): "viewer",
    ("GET", "/dashboard.json"): "viewer",
    ("GET", "/manifest.webmanifest"): "viewer",
    ("GET", "/service-worker.js"): "viewer",
    ("GET", "/api/access"): "admin",
    ("POST", "/api/access/invitations"): "admin",
    ("POST", "/api/access/qr"): "admin",
    ("DELETE", "/api/access/{kind}/{id}"): "admin",
    **{(operation.method, operation.path): operation.role for operation in OPERATIONS},
}
"""By method and path template, as the router has them. HEAD requires what GET does."""
MESSAGE_NEEDS: Final[Mapping[type[FromClient | FromGateway], Need]] = {
    # At `/ws`. A client without the role gets a receipt `forbidden`, or is closed with 1008.
    Join: "viewer",
    Subscription: "viewer",
    Command: "operator",
    # At `/gw`, also the messages that clients receive.
    Hello: "gateway",
    Ignored: "gateway",
    NodeAppeared: "gateway",
    NodeDescribed: "gateway",
    Reading: "gateway",
    NodeReset: "gateway",
    NodeLeft: "gateway",
    Receipt: "gateway",
    Checkpoint: "gateway",
    ReadingsDropped: "gateway",
    NodesSeen: "gateway",
    UidsSecured: "gateway",
}
"""The role that a message on a WebSocket requires, by its type. Types that are not listed require
`admin`."""
DASHBOARD_FILES: Final = ("/assets/", "/pictures/", "/static/", "/favicon")
"""Prefixes of the paths of the dashboard's files. Reading them requires `viewer`."""
PUBLIC_FILES: Final = ("/icons/",)
"""Prefixes of public files: a phone reads icons without the session."""


def need_of(request: web.Request) -> Need:
    """The role that a request requires. A route that is not in the table requires `admin`. A path
    that does not exist requires `viewer`: the answer reveals nothing else."""
    resource = request.match_info.route.resource
    if resource is None:
        return "viewer"
    return need_for(request.method, resource.canonical)


def satisfies(role: Role | None, need: Need) -> bool:
    """Whether a client has a sufficient role. `role` None: the client is unknown."""
    match need:
        case "public" | "gateway":
            return True
        case _:
            return role is not None and includes(role, need)


def may_send(role: Role, kind: type[FromClient | FromGateway]) -> bool:
    """Whether a client with this role may send a message of this type at `/ws`."""
    need = MESSAGE_NEEDS.get(kind, "admin")
    return need != "gateway" and satisfies(role, need)


def need_for(method: str, path: str) -> Need:
    """The role that a method of a path template such as `/api/nodes/{uid}` requires."""
    method = hdrs.METH_GET if method == hdrs.METH_HEAD else method
    if method == hdrs.METH_GET and path.startswith(DASHBOARD_FILES):
        return "viewer"
    if method == hdrs.METH_GET and path.startswith(PUBLIC_FILES):
        return "public"
    return NEEDS.get((method, path), "admin")
