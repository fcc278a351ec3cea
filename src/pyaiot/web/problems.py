# SPDX-License-Identifier: BSD-3-Clause
"""Every error as a document that programs understand (RFC 9457), also those of the framework."""

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
"""Where the kinds of problems are described, on this very server."""

KINDS: Final = {
    "bad-request": "A parameter or the body is not what the operation takes.",
    "unknown-node": "There is no such node now.",
    "unknown-resource": "The node has said nothing of such a resource.",
    "unknown-command": "There is no such command, or it was long ago.",
    "no-history": "This broker keeps no history.",
    "no-arrow": "This broker cannot write Arrow: an extra is not installed.",
    "too-many-rows": "The answer would be larger than one answer may be. Nothing is cut off"
    " in silence: narrow the range, widen the step, say a `limit` and go from page to page, or"
    " export.",
    "too-slow": "The question took too long, or too many are being asked. Try again later, or"
    " narrow the range.",
    "history-unavailable": "The history cannot be read now.",
    "busy": "As much of this as may run at once is running. Try again later.",
    "too-fast": "More commands than one client may give.",
    "too-many-keys": "More keys than are remembered of one client: a command that might be carried"
    " out twice is refused.",
    "key-reused": "The `Idempotency-Key` was given with another command before.",
    "refused": "The node said no. `command.detail` has its code.",
    "timeout": "The node did not answer in time. Nobody knows whether it did it.",
    "unreachable": "There is no way to the node now: its gateway or its network is gone.",
}
"""Kinds of problems, by the end of their `type`. Others are `about:blank`: the status says all."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, Meta(description="Kind of the problem, for programs.")] = "about:blank"
    title: Annotated[str, Meta(description="The same for people.")]
    status: Annotated[int, Meta(description="The HTTP status once more.")]
    detail: Annotated[str, Meta(description="What happened this time.")] = ""
    command: Annotated[
        Any, Meta(description="If it is about a command: all that is known of it.")
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
        self.problem = Problem(
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
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware: what goes wrong inside becomes a document.

    A browser that opens a page gets the plain sentence instead.
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
        return _of_framework(error)
    except ConnectionError:
        raise  # the peer is gone: there is nobody to tell
    except Exception:
        log.exception("a request failed: %s", request.method)
        title = HTTPStatus.INTERNAL_SERVER_ERROR.phrase
        return _document(Problem(title=title, status=500, detail="The log has the reason."), {})


def _of_framework(error: web.HTTPException) -> web.Response:
    title = HTTPStatus(error.status).phrase
    text = (error.text or "").strip()
    # aiohttp's own texts are the status once more.
    detail = "" if text == f"{error.status}: {error.reason}" else text
    kept = {
        name: value
        for name, value in error.headers.items()
        if name not in (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)
    }
    return _document(Problem(title=title, status=error.status, detail=detail), kept)


def _document(problem: Problem, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=_encode(problem),
        status=problem.status,
        content_type=PROBLEM_TYPE,
        headers={"X-Content-Type-Options": "nosniff", hdrs.CACHE_CONTROL: "no-store", **headers},
    )
