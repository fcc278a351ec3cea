# SPDX-License-Identifier: BSD-3-Clause
"""The query parameters of `GET /api/audit`. Pure."""

from typing import Annotated, Final

from msgspec import Meta

from pyaiot.audit.entry import TEXT_LENGTH_MAX
from pyaiot.audit.files import CURSOR
from pyaiot.web.api.parameters import CURSOR_LENGTH_MAX, FILTERS_MAX, Name, RangeQuery

AUDIT_ENTRIES_PER_PAGE: Final = 1000
"""Entries of the audit log on one page: default and largest `limit`."""


class AuditQuery(RangeQuery, frozen=True, kw_only=True):
    """The entries to return."""

    who: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=TEXT_LENGTH_MAX,
                description="Only entries of this principal: `user:ada`, or its name: `ada`.",
            ),
        ]
        | None
    ) = None
    uid: Annotated[Name, Meta(description="Only entries about this node.")] | None = None
    action: Annotated[Name, Meta(description="Only entries of this action.")] | None = None
    result: (
        Annotated[
            tuple[Name, ...],
            Meta(
                max_length=FILTERS_MAX,
                description="Only entries with one of these results (may be repeated): `ok`,"
                " `refused`, `failed`, or of a command the state of its receipt.",
            ),
        ]
        | None
    ) = None
    limit: Annotated[
        int, Meta(ge=1, le=AUDIT_ENTRIES_PER_PAGE, description="Entries of one page.")
    ] = AUDIT_ENTRIES_PER_PAGE
    cursor: (
        Annotated[
            str,
            Meta(
                max_length=CURSOR_LENGTH_MAX,
                pattern=CURSOR,
                description="`next` of the previous page. The other parameters must be the same.",
            ),
        ]
        | None
    ) = None
