# SPDX-License-Identifier: BSD-3-Clause
"""Problem documents (RFC 9457) for requests that aiohttp's server rejects by itself."""

import json
from http import HTTPStatus
from typing import Final

from aiohttp import http_exceptions, web

_TEXTS: Final = (
    (http_exceptions.LineTooLong, "A line of the request is too long."),
    (http_exceptions.BadHttpMethod, "The HTTP method is invalid."),
    (http_exceptions.BadStatusLine, "The HTTP request line is invalid."),
    (http_exceptions.InvalidURLError, "The path of the request is invalid."),
)
"""By exception, subclasses first. No text repeats the request, which may contain a secret."""
_DEFAULT: Final = "The request is not valid HTTP."


def problem_of(status: int, problem: BaseException | str | None) -> web.Response:
    """A problem document for an error or a text. It closes the connection."""
    detail = problem if isinstance(problem, str) else _detail(problem)
    document = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    response = web.Response(
        body=json.dumps(document).encode(),
        status=status,
        content_type="application/problem+json",
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"},
    )
    response.force_close()
    return response


def _detail(error: BaseException | None) -> str:
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return text
    return _DEFAULT if isinstance(error, http_exceptions.HttpProcessingError) else ""
