# SPDX-License-Identifier: BSD-3-Clause
"""What aiohttp's server refuses before anybody of ours sees it, in the form of all our errors."""

import json
from http import HTTPStatus
from typing import Final

from aiohttp import http_exceptions, web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server

_SENTENCES: Final = (
    (http_exceptions.LineTooLong, "A line of the request is longer than this server reads."),
    (http_exceptions.BadHttpMethod, "The request does not begin with a method of HTTP."),
    (http_exceptions.BadStatusLine, "The first line is not that of a request of HTTP."),
    (http_exceptions.InvalidURLError, "The path of the request is none."),
)
"""By exception, the most special one first. None repeats what was sent: it may be a secret."""
_OTHERWISE: Final = "The request is not HTTP that this server understands."


class Handler(RequestHandler):
    """One connection. Errors are problem documents (RFC 9457), and end it."""

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # It logs, and refuses where something was sent already.
        super().handle_error(request, status, exc, message)
        problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": _detail(exc)}
        response = web.Response(
            body=json.dumps(problem).encode(),
            status=status,
            content_type="application/problem+json",
            headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"},
        )
        response.force_close()
        return response


def handler_of(server: Server) -> Handler:
    """What a new connection of the server is served by."""
    # The server passes on what it was set up with, and has no other way to choose the class.
    return Handler(server, loop=server._loop, **server._kwargs)


def _detail(error: BaseException | None) -> str:
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return sentence
    return _OTHERWISE if isinstance(error, http_exceptions.HttpProcessingError) else ""
