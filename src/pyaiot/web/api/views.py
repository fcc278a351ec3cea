# SPDX-License-Identifier: BSD-3-Clause
"""Saved views of the dashboard over HTTP."""

from typing import Final

import msgspec
from aiohttp import hdrs, web

from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.messages import ViewsChanged
from pyaiot.registry.views import DashboardView, SavedView, UnknownView, ViewBook, ViewId
from pyaiot.web.api.edits import (
    EditProblems,
    check_all_nodes,
    errors_as_problems,
    read_json,
    required_revision,
)
from pyaiot.web.api.nodes import includes
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import json_response
from pyaiot.web.api.view_operations import SavedViews
from pyaiot.web.auditing import note
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

_PROBLEMS: Final[EditProblems] = {
    UnknownView: (404, "unknown-view"),
    Refused: (409, "view-refused"),
}


class ViewsApi:
    """The handlers. They run on the broker's loop."""

    def __init__(self, broker: Broker, views: ViewBook) -> None:
        self._broker = broker
        self._views = views
        views.observers.append(self._announce)

    async def views(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/views`."""
        return json_response(
            SavedViews(views=[self._shown(request, it) for it in self._views.all()])
        )

    async def put(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PUT /api/views/{view}`."""
        view_id = request.match_info["view"]
        try:
            msgspec.convert(view_id, ViewId)
        except msgspec.ValidationError as error:
            raise ProblemError(
                400, "bad-request", "the id of a view has lower-case letters, digits and hyphens"
            ) from error
        view = await read_json(request, DashboardView)
        check_all_nodes(request, "changing saved views")
        note(request, detail=view_id)
        with errors_as_problems(_PROBLEMS):
            saved = await self._views.put(view_id, view, required_revision(request, "a view"))
        return json_response(saved, headers={hdrs.ETAG: f'"{saved.revision}"'})

    async def remove(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/views/{view}`."""
        view_id = request.match_info["view"]
        if self._views.find(view_id) is None:
            raise ProblemError(404, "unknown-view", "there is no such view")
        check_all_nodes(request, "changing saved views")
        note(request, detail=view_id[:64])
        with errors_as_problems(_PROBLEMS):
            await self._views.remove(view_id, required_revision(request, "a view"))
        return web.Response(status=204)

    def _shown(self, request: web.Request, saved: SavedView) -> SavedView:
        """The view without the nodes that are not in the scope of the client."""
        scope = access_of(request).scope
        if scope.has_all_nodes:
            return saved
        registry = self._broker.router.registry

        def seen(uids: tuple[str, ...]) -> tuple[str, ...]:
            records = [record for uid in uids if (record := registry.get(uid)) is not None]
            return tuple(it.uid for it in records if includes(scope, it))

        view = saved.view
        shown = msgspec.structs.replace(view, pins=seen(view.pins), order=seen(view.order))
        return msgspec.structs.replace(saved, view=shown)

    def _announce(self) -> None:
        self._broker.publish_to_registry_clients(ViewsChanged(version=self._views.version))
