# SPDX-License-Identifier: BSD-3-Clause
"""`GET /api/audit`: the entries of the audit log."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from pyaiot.audit.files import AuditFilter
from pyaiot.audit.log import AuditBusy, AuditLog
from pyaiot.errors import reason_of
from pyaiot.web.api.audit_query import AuditQuery
from pyaiot.web.api.responses import json_response
from pyaiot.web.api.schemas import AuditPage, AuditRecord
from pyaiot.web.problems import ProblemError


class AuditApi:
    """The handler of the audit log."""

    def __init__(self, audit: AuditLog, unix_time: Callable[[], float]) -> None:
        self._audit = audit
        self._unix_time = unix_time

    async def audit(self, _request: web.Request, query: AuditQuery) -> web.StreamResponse:
        """`GET /api/audit`."""
        if not self._audit.is_on:
            raise ProblemError(404, "no-audit", "the settings turn it off")
        now = self._unix_time()
        wanted = AuditFilter(
            who=query.who or "",
            uid=query.uid or "",
            action=query.action or "",
            results=frozenset(query.result or ()),
            start=query.start(now),
            end=query.end(now),
        )
        try:
            found, cursor = await self._audit.page(wanted, query.limit, query.cursor or "")
        except AuditBusy as error:
            raise ProblemError(503, "busy", str(error), retry_after_s=1) from error
        except OSError as error:
            raise ProblemError(
                503, "audit-unavailable", reason_of(error), retry_after_s=5
            ) from error
        # The fields are the same, but the one type is stored and the other is documented by the
        # API.
        records = msgspec.convert(found, list[AuditRecord], from_attributes=True)
        return json_response(AuditPage(entries=records, next=cursor))
