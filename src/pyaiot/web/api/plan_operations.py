# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the HTTP API about floor plans."""

from typing import Annotated, Final, get_args

import msgspec
from msgspec import Meta

from pyaiot.registry.images import ImageType
from pyaiot.registry.plans import FloorPlan, PlanEdit
from pyaiot.web.api.operation import Operation, RequestHeader, ResponseSpec
from pyaiot.web.api.parameters import Query

IMAGE_TYPES: Final = get_args(ImageType)


class PlanImageQuery(Query, frozen=True, kw_only=True):
    """The requested image."""

    v: Annotated[
        str,
        Meta(
            max_length=64,
            description="The `image` of the plan. It has no effect but that a new image has a new"
            " URL, so that pages do not show an old one.",
        ),
    ] = ""


class FloorPlans(msgspec.Struct, frozen=True, kw_only=True):
    """All floor plans."""

    plans: list[FloorPlan]


_IF_MATCH: Final = RequestHeader(
    "If-Match",
    'The `ETag` of the floor plan, which is its revision (`"7"`). If somebody edited it since:'
    ' 412. `"0"`: only if the room has none yet.',
    pattern=r'^(\*|"?[0-9]{1,18}"?)$',
)
_ETAG: Final = {"ETag": "The revision of the floor plan."}
_EDITS: Final = {
    403: ("not-in-scope",),
    409: ("plan-refused",),
    412: ("edited-meanwhile",),
    503: ("registry-unavailable",),
}
_UNKNOWN: Final = {404: ("unknown-plan",)}

PLAN_OPERATIONS: Final = (
    Operation(
        "plans",
        "GET",
        "/api/plans",
        "The floor plans of rooms",
        {
            200: ResponseSpec(
                "The plans of rooms with nodes in the scope of the client, with their places.",
                FloorPlans,
            )
        },
    ),
    Operation(
        "plan_image",
        "GET",
        "/api/plans/{room}/image",
        "The image of a floor plan",
        {200: ResponseSpec("The image.", other_types=IMAGE_TYPES)},
        query=PlanImageQuery,
        problems=_UNKNOWN,
        conditional=True,
    ),
    Operation(
        "put_plan_image",
        "PUT",
        "/api/plans/{room}/image",
        "Give a room a floor plan",
        {200: ResponseSpec("The plan.", FloorPlan, headers=_ETAG)},
        description="Adds a plan, or replaces its image; the places of nodes stay. It is on disk"
        " when the response is sent. SVG is refused, because it can contain scripts.",
        headers=(_IF_MATCH,),
        body="A PNG, JPEG or WebP image of at most 1 MiB and 8192 pixels a side.",
        body_types=IMAGE_TYPES,
        problems={**_EDITS, 413: ("too-large",), 415: ("unsupported-type",)},
        for_admins=True,
    ),
    Operation(
        "place_nodes",
        "PATCH",
        "/api/plans/{room}",
        "Put nodes on a floor plan",
        {200: ResponseSpec("The plan.", FloorPlan, headers=_ETAG)},
        headers=(_IF_MATCH,),
        json_body=PlanEdit,
        problems={**_EDITS, 404: ("unknown-plan", "unknown-node"), 415: ("unsupported-type",)},
    ),
    Operation(
        "remove_plan",
        "DELETE",
        "/api/plans/{room}",
        "Remove a floor plan",
        {204: ResponseSpec("It is removed.")},
        headers=(_IF_MATCH,),
        problems={**_EDITS, **_UNKNOWN},
        for_admins=True,
    ),
)
