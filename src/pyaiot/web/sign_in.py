# SPDX-License-Identifier: BSD-3-Clause
"""Who may come in when the broker listens beyond this machine.

A link that works once is printed at start; who opens it gets a session. Nobody else sees or
commands anything, unless the settings let anonymous viewers in.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pyaiot.transport.rate_limit import RateLimit
from pyaiot.web.access import role_for

SESSION_LIFE_S: Final = 7 * 86_400.0
SESSIONS_MAX: Final = 1000
"""Sessions at once. One more ends the oldest."""
TRIES_PER_S: Final = 5 / 60
TRIES_BURST: Final = 5.0
"""Wrong links in all: 5 a minute. Those above are answered 429."""

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Sign in</title>
<h1>Sign in</h1>
<p>This link works once.</p>
<form method="post"><button autofocus>Sign in</button></form>
</html>
"""
"""The form has no action: it posts to the address of the page, which has the token."""
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    # Without a referrer, a browser would post the form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

MAY_COMMAND: Final = web.RequestKey("may_command", bool)
PROGRAM: Final = web.RequestKey("program", str)
"""Of a request with a session: what tells it from the others."""


class SignIn:
    """One link, and the sessions that it opened. `clock` is in seconds, for durations."""

    def __init__(self, *, behind_tls: bool, viewers: bool, clock: Callable[[], float]) -> None:
        """`behind_tls`: a proxy speaks TLS to browsers. `viewers`: anybody may look."""
        self.refused = 0
        self._viewers = viewers
        self._clock = clock
        self._secure = behind_tls
        # The prefix binds the cookie to this very host (RFC 6265bis section 4.1.3.2).
        self._cookie = "__Host-aiot" if behind_tls else "aiot"
        self._link_hash = b""
        self._sessions: OrderedDict[bytes, float] = OrderedDict()
        self._tries = RateLimit(per_s=TRIES_PER_S, burst=TRIES_BURST, now=clock())

    def new_link(self) -> str:
        """A path that opens a session, once. The one before it opens none any more."""
        token = secrets.token_urlsafe(32)
        self._link_hash = _hash(token)
        return f"/login?token={token}"

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """`GET /login?token=…`: a page that asks for one click.

        It changes nothing and does not look at the token: mail programs, chats and virus scanners
        open links as well.
        """
        return web.Response(text=_PAGE, content_type="text/html", headers=_PAGE_HEADERS)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """`POST /login?token=…`: a session for who has the link, and to the dashboard."""
        given = _hash(request.query.get("token", ""))
        if not self._link_hash or not secrets.compare_digest(given, self._link_hash):
            self.refused += 1
            if self._tries.take(self._clock()):
                raise web.HTTPTooManyRequests(text="Too many wrong links. Wait a minute.\n")
            raise web.HTTPForbidden(
                text="This link does not work (any more). A new one is printed when the broker"
                " starts.\n"
            )
        self._link_hash = b""
        session = secrets.token_urlsafe(32)
        self._sessions[_hash(session)] = self._clock() + SESSION_LIFE_S
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        response = web.HTTPSeeOther("/")
        response.set_cookie(
            self._cookie,
            session,
            max_age=int(SESSION_LIFE_S),
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )
        raise response

    def has_session(self, request: web.Request) -> bool:
        """Whether the request comes from who opened the link."""
        session = _hash(request.cookies.get(self._cookie, ""))
        until = self._sessions.get(session)
        if until is None:
            return False
        if until <= self._clock():
            del self._sessions[session]
            return False
        return True

    def middleware(self) -> Middleware:
        """Deny by default; what a request may do stands in it under `MAY_COMMAND`."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            known = self.has_session(request)
            request[MAY_COMMAND] = known
            if known:
                request[PROGRAM] = _hash(request.cookies[self._cookie]).hex()
            role = role_for(request.method, request.path)
            if known or role in {"anybody", "gateway"} or (self._viewers and role == "viewer"):
                return await handler(request)
            self.refused += 1
            if self._viewers:
                raise web.HTTPForbidden(text="You may look, not command.\n")
            raise web.HTTPUnauthorized(
                text="Open the link that the broker printed when it started.\n",
                headers={"WWW-Authenticate": 'Link realm="pyaiot"'},
            )

        return check


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
