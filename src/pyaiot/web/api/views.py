# SPDX-License-Identifier: BSD-3-Clause
"""Saved views of the dashboard over HTTP."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from aiohttp import hdrs, web

from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.messages import ViewsChanged
from pyaiot.registry.refusals import NotStored, StaleRevision
from pyaiot.registry.views import DashboardView, SavedView, UnknownView, ViewBook, ViewId
from pyaiot.web.api.nodes import includes
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.registry import read_json
from pyaiot.web.api.responses import json_response
from pyaiot.web.api.view_operations import SavedViews
from pyaiot.web.auditing import note
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError


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
        _check_whole(request)
        note(request, detail=view_id)
        with _problems():
            saved = await self._views.put(view_id, view, _revision(request))
        return json_response(saved, headers={hdrs.ETAG: f'"{saved.revision}"'})

    async def remove(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/views/{view}`."""
        view_id = request.match_info["view"]
        if self._views.find(view_id) is None:
            raise ProblemError(404, "unknown-view", "there is no such view")
        _check_whole(request)
        note(request, detail=view_id[:64])
        with _problems():
            await self._views.remove(view_id, _revision(request))
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


def _check_whole(request: web.Request) -> None:
    if not access_of(request).scope.has_all_nodes:
        raise ProblemError(403, "not-in-scope", "to save views needs access to all nodes")


def _revision(request: web.Request) -> int | None:
    """The revision that the client requires; 0: the view must not exist. Raises `ProblemError`."""
    header = request.headers.get(hdrs.IF_MATCH, "*").strip()
    if header == "*":
        return None
    etag = re.fullmatch(r'"?([0-9]{1,18})"?', header)
    if etag is None:
        raise ProblemError(400, "bad-request", "If-Match must be the ETag of a view, or *")
    return int(etag[1])


@contextmanager
def _problems() -> Iterator[None]:
    """Turn errors of views into `ProblemError`."""
    try:
        yield
    except UnknownView as error:
        raise ProblemError(404, "unknown-view", str(error)) from error
    except StaleRevision as error:
        raise ProblemError(412, "edited-meanwhile", str(error)) from error
    except Refused as error:
        raise ProblemError(409, "view-refused", str(error)) from error
    except NotStored as error:
        raise ProblemError(503, "registry-unavailable", str(error), retry_after_s=5) from error
