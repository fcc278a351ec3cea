# SPDX-License-Identifier: BSD-3-Clause
"""Changes to nodes over HTTP: edit, register and forget one node or several."""

import asyncio
import re
from typing import Final

import msgspec
from aiohttp import hdrs, web

from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.messages import check_uid
from pyaiot.registry.record import Edit, NodeRecord
from pyaiot.registry.refusals import RegistryFull, UnknownNode
from pyaiot.registry.service import RegistryService
from pyaiot.web.api.edits import EditProblems, errors_as_problems, read_json
from pyaiot.web.api.nodes import find, includes, matching, node_response
from pyaiot.web.api.parameters import FilterQuery, Query
from pyaiot.web.api.responses import json_response
from pyaiot.web.api.schemas import ChangedNodes, NodeRegistration, Registrations
from pyaiot.web.auditing import note
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

NODES_AT_ONCE_MAX: Final = 10_000
"""Largest number of nodes that one request may edit or forget."""
ETAG: Final = r'"([0-9]{1,18})(?:-[0-9a-f]{16})?"'
"""The `ETag` of a node: its revision, and a hash of the whole response. Messages contain only the
revision."""
_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
"""RFC 9110 section 8.8.3."""

_TYPES_SHOWN: Final = 8
"""Largest number of resources in the audit entry of an edit of types. Further ones are left out."""

_PROBLEMS: Final[EditProblems] = {
    UnknownNode: (404, "unknown-node"),
    RegistryFull: (409, "registry-full"),
    Refused: (409, "online"),
}


class RegistryApi:
    """The handlers that change the registry. They run on the broker's loop."""

    def __init__(self, broker: Broker, registry: RegistryService) -> None:
        self._broker = broker
        self._registry = registry

    async def edit(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PATCH /api/nodes/{uid}`."""
        edit = await read_json(request, Edit)
        uid = find(self._broker, request).uid
        note(request, uids=[uid], detail=_changes_of(edit))
        with errors_as_problems(_PROBLEMS):
            record = await self._registry.edit(uid, edit, revision=_revision(request))
        return node_response(self._broker, record, request)

    async def forget(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/nodes/{uid}`."""
        uid, now = find(self._broker, request).uid, asyncio.get_running_loop().time()
        with errors_as_problems(_PROBLEMS):
            await self._registry.forget(uid, now, revision=_revision(request))
        return web.Response(status=204)

    async def restore(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`POST /api/nodes/{uid}/restore`."""
        uid, now = request.match_info["uid"], asyncio.get_running_loop().time()
        with errors_as_problems(_PROBLEMS):
            if not includes(access_of(request).scope, self._registry.registry.forgotten(uid, now)):
                raise UnknownNode(f"there is no forgotten node {uid[:64]!r}")
            record = await self._registry.restore(uid, now)
        return node_response(self._broker, record, request)

    async def register(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`POST /api/nodes`."""
        body = await read_json(request, Registrations)
        with errors_as_problems(_PROBLEMS):
            edits = [(check_uid(node.uid), _edit_of(node)) for node in body.nodes]
            note(request, uids=[uid for uid, _ in edits])
            self._check_scope(request, edits)
            records = await self._registry.provision(edits)
        return json_response(_changed(records))

    def _check_scope(self, request: web.Request, edits: list[tuple[str, Edit]]) -> None:
        """Raise `ProblemError` if a node is not in the scope of the client, or would leave it."""
        scope, registry = access_of(request).scope, self._registry.registry
        if scope.has_all_nodes:
            return
        for uid, edit in edits:
            known = registry.get(uid)
            if (known is not None and not includes(scope, known)) or not includes(
                scope, registry.provisioned(uid, edit)
            ):
                raise ProblemError(
                    403, "not-in-scope", f"the node {uid} would not be in the scope of this client"
                )

    async def edit_nodes(self, request: web.Request, query: FilterQuery) -> web.StreamResponse:
        """`PATCH /api/nodes`."""
        edit = await read_json(request, Edit)
        found = await select(self._broker, request, query, NODES_AT_ONCE_MAX)
        uids = [it.uid for it in found]
        note(request, uids=uids, detail=_changes_of(edit))
        with errors_as_problems(_PROBLEMS):
            records = await self._registry.edit_many(uids, edit)
        return json_response(_changed(records))

    async def forget_nodes(self, request: web.Request, query: FilterQuery) -> web.StreamResponse:
        """`DELETE /api/nodes`. Online nodes are skipped."""
        found = await select(self._broker, request, query, NODES_AT_ONCE_MAX)
        now = asyncio.get_running_loop().time()
        with errors_as_problems(_PROBLEMS):
            forgotten = await self._registry.forget_many([it.uid for it in found], now)
        note(request, uids=[it.uid for it in forgotten])
        return json_response(_changed(forgotten))


async def select(
    broker: Broker, request: web.Request, query: FilterQuery, most: int
) -> list[NodeRecord]:
    """The nodes in the scope of a client that a filter selects. None if the filter has no
    condition, so that a missing filter does no harm. Raises `ProblemError` if there are too
    many."""
    found: list[NodeRecord] = []
    if query.is_empty:
        return found
    async for record in matching(broker, query.node_filter(), access_of(request).scope):
        if len(found) == most:
            raise ProblemError(413, "too-many-nodes", f"more than {most} nodes match")
        found.append(record)
    return found


def _edit_of(node: NodeRegistration) -> Edit:
    return Edit(**{name: getattr(node, name) for name in Edit.__struct_fields__})


def _changes_of(edit: Edit) -> str:
    """For the audit log: the changed fields, and the new values of those that decide admission."""
    given = [name for name in Edit.__struct_fields__ if getattr(edit, name) is not msgspec.UNSET]
    rules = ("admission", "offline_after_s", "interval_s")
    shown = [f"{name}={getattr(edit, name)}" if name in rules else name for name in given]
    if isinstance(edit.types, dict) and edit.types:
        # A type decides which commands are refused.
        shown[shown.index("types")] = f"types of {', '.join(sorted(edit.types)[:_TYPES_SHOWN])}"
    return ", ".join(shown)


def _changed(records: list[NodeRecord]) -> ChangedNodes:
    return ChangedNodes(uids=[record.uid for record in records])


def _revision(request: web.Request) -> int | None:
    """The revision in `If-Match`; None if the client accepts any. Raises `ProblemError`."""
    header = request.headers.get(hdrs.IF_MATCH)
    if header is None or header.strip() == "*":
        return None
    etag = re.fullmatch(ETAG, header.strip())
    if etag is not None:
        return int(etag[1])
    if _ENTITY_TAG.fullmatch(header.strip()):
        # RFC 9110 section 13.1.1: the tag of another representation does not match.
        raise ProblemError(412, "edited-meanwhile", "the ETag in If-Match is not that of the node")
    raise ProblemError(
        400, "bad-request", "If-Match must be the ETag of a node, its revision, or *"
    )
