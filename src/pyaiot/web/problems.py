# SPDX-License-Identifier: BSD-3-Clause
"""Errors as problem documents (RFC 9457), including those of aiohttp."""

import logging
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from msgspec import Meta

from pyaiot.errors import PyaiotError

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/api/docs#problem-"
"""The page of this server that describes the problem types."""

KINDS: Final = {
    "bad-request": "A parameter or the body is invalid.",
    "unknown-node": "The node is not registered.",
    "not-in-scope": "The scope of this client does not include the node.",
    "unknown-resource": "The node has not reported this resource.",
    "unknown-command": "There is no such command, or it has expired.",
    "no-history": "This broker records no history.",
    "no-arrow": "This broker cannot write Arrow. An optional dependency is not installed.",
    "no-audit": "This broker has no audit log.",
    "audit-unavailable": "The audit log cannot be read now.",
    "no-devices": "No gateway runs in this process, so it has no credentials of devices.",
    "devices-unavailable": "The credentials of devices cannot be read or written now.",
    "device-refused": "The device cannot get this credential. `detail` has the reason.",
    "unknown-device": "The device has no credential.",
    "unknown-alert": "There is no such active alert, rule, maintenance or channel.",
    "unknown-mapping": "There is no such saved mapping.",
    "mapping-refused": "The mapping cannot be added or replaced. `detail` has the reason.",
    "rule-refused": "The rule cannot be added, replaced or removed. `detail` has the reason.",
    "unknown-view": "There is no such saved view.",
    "view-refused": "The view cannot be saved or removed. `detail` has the reason.",
    "unknown-plan": "The room has no floor plan.",
    "plan-refused": "The floor plan cannot be saved. `detail` has the reason.",
    "too-large": "The body is larger than it may be.",
    "not-sent": "The service of the channel did not accept the notice.",
    "too-many-rows": "The response would exceed the limit of rows. Narrow the range, widen the"
    " step, set a `limit` and follow the pages, or use an export.",
    "too-slow": "The query took too long, or too many queries are running. Try again later, or"
    " narrow the range.",
    "history-unavailable": "The history cannot be read now.",
    "busy": "The limit of simultaneous requests is reached. Try again later.",
    "too-fast": "The client exceeds its rate limit of commands.",
    "too-many-keys": "The client exceeds its number of idempotency keys. The command is refused,"
    " because a repeated request could be carried out twice.",
    "online": "The node is online and cannot be forgotten: it would come back at once.",
    "edited-meanwhile": "Somebody else edited it since the client read it. Read it again.",
    "too-many-nodes": "The filter selects more nodes than one request may change.",
    "registry-full": "The limit of edited nodes is reached.",
    "registry-unavailable": "The registry cannot be written now. Nothing was changed.",
    "unsupported-type": "The `Content-Type` of the body is not supported.",
    "key-reused": "The `Idempotency-Key` was used for a different command.",
    "refused": "The node refused the command. `command.detail` has its response code.",
    "timeout": "The node did not answer in time. The outcome is unknown.",
    "unreachable": "The node cannot be reached. Its gateway or its network is offline.",
}
"""Problem types by the end of their `type`. Other problems have the type `about:blank`."""


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457)."""

    type: Annotated[str, Meta(description="Identifies the problem type.")] = "about:blank"
    title: Annotated[str, Meta(description="Summary of the problem type.")]
    status: Annotated[int, Meta(description="The HTTP status code.")]
    detail: Annotated[str, Meta(description="Explanation of this occurrence.")] = ""
    command: Annotated[
        Any, Meta(description="The state of the command, if the problem concerns one.")
    ] = None


class ProblemError(PyaiotError):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        command: object = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`kind` is one of `KINDS`."""
        super().__init__(detail)
        self.problem = ProblemDetails(
            type=TYPE_PREFIX + kind,
            title=KINDS[kind].partition(".")[0],
            status=status,
            detail=detail,
            command=command,
        )
        self.headers = {} if headers is None else headers
        if retry_after_s is not None:
            self.headers[hdrs.RETRY_AFTER] = str(retry_after_s)


log = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder().encode


@web.middleware
async def problem_documents(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: turns errors of handlers into problem documents.

    A browser that opens a page gets plain text instead.
    """
    try:
        return await handler(request)
    except ProblemError as error:
        return _document(error.problem, error.headers)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST or "text/html" in request.headers.get(
            hdrs.ACCEPT, ""
        ):
            raise
        return _framework_response(error)
    except ConnectionError:
        raise  # the client has disconnected
    except Exception:
        log.exception("a request failed: %s", request.method)
        title = HTTPStatus.INTERNAL_SERVER_ERROR.phrase
        return _document(
            ProblemDetails(title=title, status=500, detail="The log has the reason."), {}
        )


def _framework_response(error: web.HTTPException) -> web.Response:
    title = HTTPStatus(error.status).phrase
    text = (error.text or "").strip()
    # The default text of aiohttp repeats the status.
    detail = "" if text == f"{error.status}: {error.reason}" else text
    headers = {
        name: value
        for name, value in error.headers.items()
        if name not in (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)
    }
    return _document(ProblemDetails(title=title, status=error.status, detail=detail), headers)


def _document(problem: ProblemDetails, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=_encode(problem),
        status=problem.status,
        content_type=PROBLEM_TYPE,
        headers={"X-Content-Type-Options": "nosniff", hdrs.CACHE_CONTROL: "no-store", **headers},
    )
