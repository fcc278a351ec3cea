# SPDX-License-Identifier: BSD-3-Clause
"""Records refused requests, and requests that change something, in the audit log.

One middleware records them by their route, so new operations are recorded without further code. The
broker records commands, with their receipts; `Sockets` records links of gateways.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from pyaiot.audit.entry import ANONYMOUS, LOCAL, Principal
from pyaiot.audit.log import AuditLog
from pyaiot.web.api.operations import OPERATIONS

WHO: Final = web.RequestKey("who", str)
"""The sender of a request; see `Principal`. The sign-in sets it."""

_COMMANDS: Final = frozenset({"write", "write_nodes"})
ACTIONS: Final = {
    ("POST", "/login"): "sign-in",
    ("POST", "/logout"): "sign-out",
    ("POST", "/api/access/invitations"): "invite",
    ("DELETE", "/api/access/{kind}/{id}"): "access-remove",
    **{
        (operation.method, operation.path): operation.name.replace("_", "-")
        for operation in OPERATIONS
    },
}
"""The action of each route in the audit log."""
# As the command line names the same change.
ACTIONS[("POST", "/api/devices")] = "device-add"
ACTIONS[("DELETE", "/api/devices/{uid}")] = "device-remove"
NOT_RECORDED: Final = (
    "/gw",  # `Sockets` records it
    # These change nothing.
    *("/api/access/qr", "/api/mapping-trials"),
)
"""Routes whose requests have no entry."""
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)


class AuditNote(msgspec.Struct, frozen=True):
    """What a handler adds to the audit entry of its request."""

    uids: tuple[str, ...] = ()
    detail: str = ""


_NOTE: Final = web.RequestKey("audit_note", AuditNote)


def note(request: web.Request, *, uids: Iterable[str] = (), detail: str = "") -> None:
    """Add nodes and a detail to the audit entry of this request. Do not add values: see
    `audit.entry`."""
    request[_NOTE] = AuditNote(tuple(uids), detail)


def principal_of(request: web.Request) -> Principal:
    """The sender of a request, and its address."""
    return Principal(request.get(WHO, LOCAL), request.remote or "")


def audit_requests(audit: AuditLog, *, signs_in: bool) -> Middleware:
    """The middleware. It must be outside of the middlewares that refuse requests and that turn
    errors into responses. `signs_in`: clients must sign in."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[WHO] = ANONYMOUS if signs_in else LOCAL
        try:
            response = await handler(request)
        except web.HTTPException as error:
            _record(audit, request, error.status)
            raise
        _record(audit, request, response.status)
        return response

    return record


def _record(audit: AuditLog, request: web.Request, status: int) -> None:
    resource = request.match_info.route.resource
    path = "" if resource is None else resource.canonical
    if path in NOT_RECORDED:
        return
    refused = status in _REFUSED
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        # Pages that are opened without a session are not recorded. Wrong credentials are, and so
        # are known clients that exceed their role.
        tries = hdrs.AUTHORIZATION in request.headers or request[WHO] not in (ANONYMOUS, LOCAL)
        if not refused or not tries:
            return
    action = ACTIONS.get((request.method, path), "request")
    if action.replace("-", "_") in _COMMANDS and not refused:
        return
    result = "refused" if refused else "ok" if status < HTTPStatus.BAD_REQUEST else "failed"
    added = request.get(_NOTE, AuditNote())
    uids = added.uids or tuple(filter(None, (request.match_info.get("uid"),)))
    detail = added.detail or ("" if result == "ok" else f"HTTP status {status}")
    audit.record(principal_of(request), action, result, uids=uids, detail=detail)
