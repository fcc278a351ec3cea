# SPDX-License-Identifier: BSD-3-Clause
"""`/things` and `/things/{uid}`: Thing Descriptions of the nodes."""

from typing import Any, Final

from aiohttp import hdrs, web

from pyaiot.broker.broker import Broker
from pyaiot.registry.node_filter import NodeFilter
from pyaiot.registry.record import NodeRecord
from pyaiot.web.api.nodes import cursor_number, find, matching, types_of_node, version_of
from pyaiot.web.api.parameters import Query, ThingsQuery
from pyaiot.web.api.responses import HEADERS, encode, matches_etag, not_modified
from pyaiot.web.api.thing_description import thing_description
from pyaiot.web.client_access import access_of

MEDIA_TYPE: Final = "application/td+json"
"""Media type (section 11.1 of the standard)."""


class ThingsApi:
    """The handlers of Thing Descriptions. They run on the broker's loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def thing(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /things/{uid}`."""
        body = encode(self._description(find(self._broker, request), request))
        etag = version_of(body)
        if matches_etag(request, etag):
            return not_modified(etag)
        response = web.Response(body=body, content_type=MEDIA_TYPE, headers=HEADERS)
        response.etag = etag
        return response

    async def things(self, request: web.Request, query: ThingsQuery) -> web.StreamResponse:
        """`GET /things`."""
        after = 0 if query.cursor is None else cursor_number(query.cursor)
        found: list[dict[str, Any]] = []
        last = 0
        headers = dict(HEADERS)
        async for record in matching(self._broker, NodeFilter(), access_of(request).scope, after):
            if len(found) == query.limit:
                following = f"/things?limit={query.limit}&cursor={last}"
                headers[hdrs.LINK] = f'<{following}>; rel="next"'
                break
            found.append(self._description(record, request))
            last = record.number
        return web.Response(body=encode(found), content_type=MEDIA_TYPE, headers=headers)

    def _description(self, record: NodeRecord, request: web.Request) -> dict[str, Any]:
        access = access_of(request)
        found = thing_description(
            record,
            types_of_node(self._broker, record, access.scope),
            f"{request.url.origin()}/",
            signs_in=access.kind != "local",
        )
        if access.scope.hides_personal:
            found.pop("description", None)
        return found
