# SPDX-License-Identifier: BSD-3-Clause
"""Floor plans of rooms over HTTP."""

from typing import Final

import msgspec
from aiohttp import hdrs, web

from pyaiot.accounts.scopes import Scope
from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.registry.plans import IMAGE_SIZE_MAX, FloorPlan, PlanBook, PlanEdit, UnknownPlan
from pyaiot.web.api.edits import (
    EditProblems,
    check_all_nodes,
    errors_as_problems,
    read_json,
    required_revision,
)
from pyaiot.web.api.nodes import includes
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.plan_operations import IMAGE_TYPES, FloorPlans
from pyaiot.web.api.responses import HEADERS, json_response, matches_etag, not_modified
from pyaiot.web.auditing import note
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

IMAGE_POLICY: Final = "default-src 'none'; sandbox"
"""The content security policy of an image that is opened by its URL."""

_PROBLEMS: Final[EditProblems] = {
    UnknownPlan: (404, "unknown-plan"),
    Refused: (409, "plan-refused"),
}


class PlansApi:
    """The handlers. They run on the broker's loop."""

    def __init__(self, broker: Broker, plans: PlanBook) -> None:
        self._broker = broker
        self._plans = plans

    async def plans(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/plans`."""
        scope = access_of(request).scope
        rooms = self._rooms(scope)
        return json_response(
            FloorPlans(
                plans=[
                    self._shown(it, scope)
                    for it in self._plans.all()
                    if rooms is None or it.room in rooms
                ]
            )
        )

    async def image(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/plans/{room}/image`."""
        plan = self._find(request)
        if matches_etag(request, plan.image):
            return not_modified(plan.image)
        response = web.Response(
            body=self._plans.image(plan),
            content_type=plan.type,
            headers={**HEADERS, "Content-Security-Policy": IMAGE_POLICY},
        )
        response.etag = plan.image
        return response

    async def put_image(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PUT /api/plans/{room}/image`."""
        room = request.match_info["room"]
        if request.content_type not in IMAGE_TYPES:
            raise ProblemError(
                415, "unsupported-type", f"the body must be one of {', '.join(IMAGE_TYPES)}"
            )
        check_all_nodes(request, "changing floor plans")
        data = await _read_image(request)
        note(request, detail=room[:64])
        with errors_as_problems(_PROBLEMS):
            plan = await self._plans.put_image(
                room, data, required_revision(request, "a floor plan")
            )
        return _plan_response(plan)

    async def place(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PATCH /api/plans/{room}`."""
        edit = await read_json(request, PlanEdit)
        scope, registry = access_of(request).scope, self._broker.router.registry
        plan = self._find(request)
        for uid in edit.places:
            record = registry.get(uid)
            if not scope.has_all_nodes and (record is None or not includes(scope, record)):
                raise ProblemError(
                    403, "not-in-scope", f"the node {uid} is not in the scope of this client"
                )
            if record is None and edit.places[uid] is not None:
                raise ProblemError(404, "unknown-node", f"there is no node {uid}")
        note(request, uids=list(edit.places), detail=plan.room)
        with errors_as_problems(_PROBLEMS):
            plan = await self._plans.place(
                plan.room,
                edit.places,
                required_revision(request, "a floor plan"),
                is_known=lambda uid: registry.get(uid) is not None,
            )
        return _plan_response(self._shown(plan, scope))

    async def remove(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/plans/{room}`."""
        plan = self._find(request)
        check_all_nodes(request, "changing floor plans")
        note(request, detail=plan.room)
        with errors_as_problems(_PROBLEMS):
            await self._plans.remove(plan.room, required_revision(request, "a floor plan"))
        return web.Response(status=204)

    def _find(self, request: web.Request) -> FloorPlan:
        """The plan of the room in the path, if it is visible to the client. Raises
        `ProblemError`."""
        plan = self._plans.find(request.match_info["room"])
        rooms = self._rooms(access_of(request).scope)
        if plan is None or (rooms is not None and plan.room not in rooms):
            raise ProblemError(404, "unknown-plan", "the room has no floor plan")
        return plan

    def _rooms(self, scope: Scope) -> set[str] | None:
        """Rooms with a node in the scope; None if the scope has all nodes."""
        if scope.has_all_nodes:
            return None
        records = self._broker.router.registry.records.values()
        return {it.annotations.room for it in records if includes(scope, it)}

    def _shown(self, plan: FloorPlan, scope: Scope) -> FloorPlan:
        """The plan with the positions of existing nodes in the scope."""
        registry = self._broker.router.registry
        places = {
            uid: place
            for uid, place in plan.places.items()
            if (record := registry.get(uid)) is not None and includes(scope, record)
        }
        return msgspec.structs.replace(plan, places=places)


async def _read_image(request: web.Request) -> bytes:
    """The body, up to the largest size. Raises `ProblemError` if it is larger."""
    data = bytearray()
    async for part in request.content.iter_any():
        data += part
        if len(data) > IMAGE_SIZE_MAX:
            raise ProblemError(
                413, "too-large", f"an image of a floor plan has at most {IMAGE_SIZE_MAX} bytes"
            )
    return bytes(data)


def _plan_response(plan: FloorPlan) -> web.Response:
    return json_response(plan, headers={hdrs.ETAG: f'"{plan.revision}"'})
