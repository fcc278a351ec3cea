# SPDX-License-Identifier: BSD-3-Clause
"""The role that each route of the broker requires. Applies where clients must sign in."""

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
"""`public`: anybody. `gateway`: it authenticates by a token of its own."""

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
"""By method and path, as the router writes it. HEAD is as GET."""
MESSAGE_NEEDS: Final[Mapping[type[FromClient | FromGateway], Need]] = {
    # At `/ws`. A client that has not the role gets a receipt `forbidden`, or is closed with 1008.
    Join: "viewer",
    Subscription: "viewer",
    Command: "operator",
    # At `/gw`, also those that clients get.
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
"""What a message on a WebSocket requires, by its type. One that is not here requires `admin`."""
DASHBOARD_FILES: Final = ("/assets/", "/pictures/", "/static/", "/favicon")
"""Prefixes of the paths of the dashboard's files, which require `viewer` to read."""
PUBLIC_FILES: Final = ("/icons/",)
"""Prefixes of files that everybody may read: a phone reads icons without the session."""


def need_of(request: web.Request) -> Need:
    """What a request requires. A route that is not in the table requires `admin`.

    A path that does not exist requires `viewer`: it reveals nothing but that.
    """
    resource = request.match_info.route.resource
    if resource is None:
        return "viewer"
    return need_for(request.method, resource.canonical)


def satisfies(role: Role | None, need: Need) -> bool:
    """Whether a client may do what needs this. `role` None: it is unknown."""
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
    """What a method of a path requires. `path` as the router writes it: with `{uid}`."""
    method = hdrs.METH_GET if method == hdrs.METH_HEAD else method
    if method == hdrs.METH_GET and path.startswith(DASHBOARD_FILES):
        return "viewer"
    if method == hdrs.METH_GET and path.startswith(PUBLIC_FILES):
        return "public"
    return NEEDS.get((method, path), "admin")
