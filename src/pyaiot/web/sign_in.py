# SPDX-License-Identifier: BSD-3-Clause
"""Access to a broker that listens beyond loopback: sign-in links, sessions, tokens of programs.

The broker prints a sign-in link at start. It works once and creates a session. A program sends a
token with each request. Requests without either are refused, unless the settings allow anonymous
viewers.
"""

import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from pyaiot.accounts.roles import Role, includes
from pyaiot.accounts.tokens import Token, bearer_secret, digest_of
from pyaiot.errors import OperatorError
from pyaiot.transport.rate_limit import RateLimit
from pyaiot.web.access import need_of, satisfies

SESSION_LIFE_S: Final = 7 * 86_400.0
SESSIONS_MAX: Final = 1000
"""Simultaneous sessions. Another one ends the oldest."""
ATTEMPTS_PER_S: Final = 5 / 60
ATTEMPTS_BURST: Final = 5.0
"""Attempts with an invalid link, of all clients together: 5 a minute. Further ones: 429."""

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
"""The form has no action: it posts to the URL of the page, which contains the token."""
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    # Without a referrer, a browser would post the form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)

MAY_COMMAND: Final = web.RequestKey("may_command", bool)
SESSION_ID: Final = web.RequestKey("program", str)
"""Identifies the session of a request."""


class SignIn:
    """One sign-in link at a time, and the sessions. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        behind_tls: bool,
        viewers: bool,
        clock: Callable[[], float],
        token_with: Callable[[bytes], Token | None] = lambda _digest: None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`behind_tls`: a proxy serves browsers over TLS. `viewers`: clients without a session may
        see the nodes. `token_with`: finds the token whose secret has this SHA-256.
        """
        self.refused = 0
        """Requests without a session or token, and invalid links, since the start."""
        self._token_with = token_with
        self._unix_time = unix_time
        self._viewers = viewers
        self._clock = clock
        self._secure = behind_tls
        # The prefix binds the cookie to this host (RFC 6265bis section 4.1.3.2).
        self._cookie = "__Host-aiot" if behind_tls else "aiot"
        self._link_hash = b""
        self._sessions: OrderedDict[bytes, float] = OrderedDict()
        self._attempts = RateLimit(per_s=ATTEMPTS_PER_S, burst=ATTEMPTS_BURST, now=clock())

    def new_link(self) -> str:
        """The path of a new sign-in link, which works once. It replaces the previous link."""
        token = secrets.token_urlsafe(32)
        self._link_hash = _hash(token)
        return f"/login?token={token}"

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """`GET /login?token=…`: a page with one button.

        It changes nothing and does not check the token, because mail programs, chats and virus
        scanners open links, too.
        """
        return web.Response(text=_PAGE, content_type="text/html", headers=_PAGE_HEADERS)

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """`POST /login?token=…`: creates a session and redirects to the dashboard."""
        given = _hash(request.query.get("token", ""))
        if not self._link_hash or not secrets.compare_digest(given, self._link_hash):
            self.refused += 1
            if self._attempts.take(self._clock()):
                raise web.HTTPTooManyRequests(text="Too many attempts. Try again in a minute.\n")
            raise web.HTTPForbidden(
                text="The sign-in link is invalid or was already used. The broker prints a new one"
                " when it starts.\n"
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
        """Whether the request has a valid session."""
        session = _hash(request.cookies.get(self._cookie, ""))
        expires_at = self._sessions.get(session)
        if expires_at is None:
            return False
        if expires_at <= self._clock():
            del self._sessions[session]
            return False
        return True

    def middleware(self) -> Middleware:
        """Refuses requests whose role is insufficient, and sets `MAY_COMMAND`."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            need = need_of(request)
            role = self._role(request)
            request[MAY_COMMAND] = role is not None and includes(role, "operator")
            if satisfies(role, need):
                return await handler(request)
            self.refused += 1
            if role is not None:
                raise web.HTTPForbidden(
                    text=f"This requires the role {need}, and this client has the role {role}.\n"
                )
            raise web.HTTPUnauthorized(
                text="Sign in with the link that the broker printed when it started, or send a"
                " token.\n",
                headers={"WWW-Authenticate": 'Bearer realm="pyaiot"'},
            )

        return check

    def _role(self, request: web.Request) -> Role | None:
        """The role of the client. None: it is unknown, or its token is not valid.

        Sets `SESSION_ID` of a known one.
        """
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if authorization is not None:
            secret = bearer_secret(authorization)
            try:
                token = self._token_with(digest_of(secret)) if secret else None
            except OperatorError as error:
                log.error("tokens cannot be checked: %s", error)  # noqa: TRY400 - no traceback
                raise web.HTTPServiceUnavailable(text="Tokens cannot be checked now.\n") from error
            # A client that sends a wrong token must learn that, even where viewers are welcome.
            if token is None or not token.is_valid(self._unix_time()):
                return None
            request[SESSION_ID] = token.digest.hex()
            return token.role
        if self.has_session(request):
            request[SESSION_ID] = _hash(request.cookies[self._cookie]).hex()
            return "admin"
        return "viewer" if self._viewers else None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
