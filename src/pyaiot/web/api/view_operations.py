# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the HTTP API about saved views."""

from typing import Final

import msgspec

from pyaiot.registry.views import DashboardView, SavedView
from pyaiot.web.api.operation import Operation, RequestHeader, ResponseSpec


class SavedViews(msgspec.Struct, frozen=True, kw_only=True):
    """All saved views."""

    views: list[SavedView]


_IF_MATCH: Final = RequestHeader(
    "If-Match",
    'The `ETag` of the view, which is its revision (`"7"`). If somebody edited it since: 412.'
    ' `"0"`: only if there is no such view yet.',
    pattern=r'^(\*|"?[0-9]{1,18}"?)$',
)
_ETAG: Final = {"ETag": "The revision of the view."}
_EDITS: Final = {
    403: ("not-in-scope",),
    409: ("view-refused",),
    412: ("edited-meanwhile",),
    503: ("registry-unavailable",),
}

VIEW_OPERATIONS: Final = (
    Operation(
        "views",
        "GET",
        "/api/views",
        "The saved views of the dashboard",
        {200: ResponseSpec("All views, with the nodes in the scope of the client.", SavedViews)},
    ),
    Operation(
        "put_view",
        "PUT",
        "/api/views/{view}",
        "Save a view",
        {200: ResponseSpec("The view.", SavedView, headers=_ETAG)},
        description="Adds or replaces it. The view is on disk when the response is sent. A view"
        " with `start` becomes the start page; the one before no longer is.",
        headers=(_IF_MATCH,),
        json_body=DashboardView,
        problems={**_EDITS, 415: ("unsupported-type",)},
    ),
    Operation(
        "remove_view",
        "DELETE",
        "/api/views/{view}",
        "Remove a view",
        {204: ResponseSpec("It is removed.")},
        description="A view that a rule of alerts uses is not removed.",
        headers=(_IF_MATCH,),
        problems={**_EDITS, 404: ("unknown-view",)},
    ),
)
