# SPDX-License-Identifier: BSD-3-Clause
"""What aiohttp's server refuses before anybody of ours sees it, in the form of all our errors."""

import json
from http import HTTPStatus
from typing import Final

from aiohttp import http_exceptions, web

_SENTENCES: Final = (
    (http_exceptions.LineTooLong, "A line of the request is longer than this server reads."),
    (http_exceptions.BadHttpMethod, "The request does not begin with a method of HTTP."),
    (http_exceptions.BadStatusLine, "The first line is not that of a request of HTTP."),
    (http_exceptions.InvalidURLError, "The path of the request is none."),
)
"""By exception, the most special one first. None repeats what was sent: it may be a secret."""
_OTHERWISE: Final = "The request is not HTTP that this server understands."


def problem_of(status: int, problem: BaseException | str | None) -> web.Response:
    """A problem document that ends the connection, for an error or a sentence."""
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
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return sentence
    return _OTHERWISE if isinstance(error, http_exceptions.HttpProcessingError) else ""
