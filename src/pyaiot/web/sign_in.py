# SPDX-License-Identifier: BSD-3-Clause
"""Access to a broker that listens beyond loopback: people sign in, programs send a token.

People sign in with an invitation, which is a link that works once, or with name and password. Both
create a session, which survives a restart of the broker. Other requests are refused, unless the
settings permit anonymous viewers.
"""

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final
from urllib.parse import parse_qs

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from pyaiot.accounts.recent_access import RecentAccess
from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import EVERYTHING, Scope
from pyaiot.accounts.store import AccountsFile, Invitation, User, UserSession
from pyaiot.accounts.tokens import bearer_secret, digest_of
from pyaiot.errors import OperatorError
from pyaiot.transport.connection_table import principal_of
from pyaiot.web.access import need_of, satisfies
from pyaiot.web.access_watch import AccessWatch
from pyaiot.web.accounts_api import AccountsApi
from pyaiot.web.attempts import Attempts
from pyaiot.web.auditing import WHO, note
from pyaiot.web.client_access import ANONYMOUS, ClientAccess, set_access
from pyaiot.web.sign_in_page import HEADERS, page
from pyaiot.web.visitors import Visitors

SESSION_LIFE_S: Final = 7 * 86_400.0
"""How long a session lasts, from its sign-in."""
INVITATION_LIFE_S: Final = 86_400.0
"""How long the link that the broker prints at its start is valid."""
FORM_FIELDS_MAX: Final = 16
"""Largest number of fields in the form. A form with more is treated as a wrong password."""
PASSWORD_CHECKS_MAX: Final = 2
"""Largest number of passwords that are checked at once, each in a thread. Others wait."""
PASSWORD_CHECKS_WAITING_MAX: Final = 200
"""Largest number of passwords that are being checked or wait for it. A further one is answered
503."""
PASSWORD_CHECKS_WAITING_PER_ADDRESS_MAX: Final = 100
"""The same for one address (IPv6: one /64 network): many people may share it."""

_LASTING: Final = frozenset({"/ws", "/api/events", "/api/export"})
"""Paths of lasting connections."""

log = logging.getLogger(__name__)


class SignIn:
    """Sign-in of people, sessions, and tokens of programs. Must be used on the event loop of the
    broker.
    """

    def __init__(
        self,
        accounts: AccountsFile,
        *,
        behind_tls: bool,
        viewers: bool,
        clock: Callable[[], float],
        unix_time: Callable[[], float] = time.time,
        title: str = "Pyaiot",
        watch: AccessWatch | None = None,
        visitors: Visitors | None = None,
    ) -> None:
        """`behind_tls`: browsers connect over TLS, here or at a proxy. `viewers`: clients that have
        not signed in may read. `clock` is monotonic and measures rates. `watch` ends connections
        when their access ends; None: they are not ended. `visitors` limits clients without sign-in;
        None: the default limits."""
        self.refused = 0
        """Number of requests without access, and of failed attempts to sign in."""
        self.accounts = accounts
        self._recent: RecentAccess[tuple[ClientAccess, str]] = RecentAccess(accounts)
        self._viewers = viewers
        self._watch = watch
        self._unix_time = unix_time
        self._title = title
        self._secure = behind_tls
        # The prefix binds the cookie to this host (RFC 6265bis section 4.1.3.2).
        self._cookie = "__Host-aiot" if behind_tls else "aiot"
        self._attempts = Attempts(clock)
        self._visitors = Visitors(clock) if visitors is None else visitors
        self._checking = asyncio.Semaphore(PASSWORD_CHECKS_MAX)
        self._waiting: Counter[str] = Counter()
        """Number of attempts by address whose password is being checked or waits for it."""

    async def new_link(self) -> str:
        """The path of a new invitation for an administrator. It replaces the previous one. Raises
        `OperatorError`."""
        return await self.invite("admin", life_s=INVITATION_LIFE_S, is_of_start=True)

    async def invite(
        self, role: Role, *, life_s: float, is_of_start: bool = False, scope: Scope = EVERYTHING
    ) -> str:
        """The path of a new invitation: a link that works once. Raises `OperatorError`."""
        secret = secrets.token_urlsafe(32)
        now = self._unix_time()
        invitation = Invitation(digest_of(secret), role, now + life_s, is_of_start, scope)
        await self.accounts.change(lambda it: it.add_invitation(invitation, now))
        return f"/login?token={secret}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/login", self.page)
        router.add_post("/login", self.sign_in)
        router.add_post("/logout", self.sign_out)
        AccountsApi(
            self.accounts,
            lambda role, life_s, scope: self.invite(role, life_s=life_s, scope=scope),
            self._unix_time,
        ).add_routes(router)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """`GET /login`: the form for name and password, or the button of an invitation.

        It changes nothing and does not check the invitation, because mail programs, chats and
        virus scanners open links, too.
        """
        return self._page(request)

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """`POST /login`: creates a session and redirects to the dashboard."""
        address = request.remote or ""
        secret = request.query.get("token")
        if secret is not None:
            digest, now = digest_of(secret), self._unix_time()
            invitation = await self.accounts.change(lambda it: it.use_invitation(digest, now))
            if invitation is None:
                if not self._attempts.take_link(address):
                    return self._failed(request, 429, "busy")
                return self._failed(request, 403, "used")
            return await self._signed_in(request, "", invitation.role, invitation.scope)
        name, password = await _form(request)
        # An unknown name may be a password in the wrong field: it is not recorded.
        known = self.accounts.user(name) is not None
        note(request, detail=f"user:{name}" if known else "an unknown name")
        async with self._turn(address):
            if not self._attempts.take(address, name):
                return self._failed(request, 429, "busy", name)
            user = await self._user_with(name, password)
        if user is None:
            return self._failed(request, 403, "wrong", name)
        self._attempts.succeeded(address, name)
        return await self._signed_in(request, name, user.role, user.scope)

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """`POST /logout`: ends the session; with `?everywhere=1` all sessions of the user."""
        session = self._session(request)
        if session is not None:
            request[WHO] = _who(session)
            everywhere = request.query.get("everywhere") == "1"
            note(request, detail="everywhere" if everywhere else "")
            await self.accounts.change(lambda it: it.end_session(session, everywhere=everywhere))
        response = web.Response(status=303, headers={hdrs.LOCATION: "/login"})
        response.del_cookie(self._cookie, secure=self._secure, httponly=True, samesite="Strict")
        return response

    def middleware(self) -> Middleware:
        """Refuses requests whose role is insufficient. Sets what `access_of` returns."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            need = need_of(request)
            try:
                access = self._access(request)
                if (
                    access is None
                    and (request.cookies or hdrs.AUTHORIZATION in request.headers)
                    and await self.accounts.look()
                ):
                    access = self._access(request)  # another broker has just created the session
                if (
                    access is None
                    and self._viewers
                    and need not in ("public", "gateway")
                    # A client that sends a wrong token must be informed.
                    and hdrs.AUTHORIZATION not in request.headers
                ):
                    access = self._visitor(request)
                role = None if access is None else access.role
                if access is not None:
                    set_access(request, access)
                if satisfies(role, need):
                    return await handler(request)
            except OperatorError as error:
                log.error("access cannot be checked: %s", error)  # noqa: TRY400 - no traceback
                raise web.HTTPServiceUnavailable(text="Access cannot be checked now.\n") from error
            self.refused += 1
            if role is not None:
                raise web.HTTPForbidden(
                    text=f"This requires the role {need}, and this client has the role {role}.\n"
                )
            if _is_navigation(request):
                raise web.HTTPSeeOther("/login")
            raise web.HTTPUnauthorized(
                text="Sign in with the link that the broker printed when it started, or send a"
                " token.\n",
                headers={"WWW-Authenticate": 'Bearer realm="pyaiot"'},
            )

        return check

    def _access(self, request: web.Request) -> ClientAccess | None:
        """The client of a request; None if it did not sign in, or not successfully."""
        headers, now = request.headers, self._unix_time()
        authorization = headers.get(hdrs.AUTHORIZATION)
        # A client that sends a wrong token must be informed, even if its cookie is valid.
        header = headers.get(hdrs.COOKIE) if authorization is None else authorization
        if not header:
            return None
        key = authorization is None, header
        known = self._recent.get(key, now)
        if known is None:
            found = (
                self._of_session(request) if authorization is None else self._of_token(header, now)
            )
            if found is None:
                return None
            access, who, valid_until = found
            known = access, who
            self._recent.put(key, known, valid_until)
        access, request[WHO] = known
        return access

    def _of_token(self, authorization: str, now: float) -> tuple[ClientAccess, str, float] | None:
        """The client with this `Authorization` header, its principal in the audit log, and the Unix
        time at which its access expires."""
        secret = bearer_secret(authorization)
        token = self.accounts.token_with(digest_of(secret)) if secret else None
        if token is None or not token.is_valid(now):
            return None
        access = ClientAccess(
            "token", token.role, token.name, token.scope, token.digest, self._watch
        )
        valid_until = math.inf if token.expires_at is None else token.expires_at
        return access, f"token:{token.name}", valid_until

    def _of_session(self, request: web.Request) -> tuple[ClientAccess, str, float] | None:
        """The same for the session of a browser."""
        session = self._session(request)
        if session is None:
            return None
        access = ClientAccess(
            *("session", session.role, session.user, session.scope, session.digest), self._watch
        )
        return access, _who(session), session.expires_at

    def _visitor(self, request: web.Request) -> ClientAccess:
        """A client that did not sign in. Raises 429 if its address exceeds a limit."""
        address = request.remote or ""
        lasts = request.path in _LASTING
        if not self._visitors.may_request(address) or (
            lasts and not self._visitors.may_connect(address)
        ):
            self.refused += 1
            raise web.HTTPTooManyRequests(
                text="Too many requests or connections of this address without sign-in.\n",
                headers={hdrs.RETRY_AFTER: "5"},
            )
        return msgspec.structs.replace(ANONYMOUS, visit=partial(self._visitors.connected, address))

    def _session(self, request: web.Request) -> UserSession | None:
        secret = request.cookies.get(self._cookie)
        return self.accounts.session(digest_of(secret), self._unix_time()) if secret else None

    async def _signed_in(
        self, request: web.Request, user: str, role: Role, scope: Scope
    ) -> web.StreamResponse:
        secret = secrets.token_urlsafe(32)
        now = self._unix_time()
        session = UserSession(digest_of(secret), user, role, now + SESSION_LIFE_S, scope)
        await self.accounts.change(lambda it: it.add_session(session, now))
        request[WHO] = _who(session)
        note(request, detail=role)
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        response.set_cookie(
            self._cookie,
            secret,
            max_age=int(SESSION_LIFE_S),
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )
        return response

    @contextlib.asynccontextmanager
    async def _turn(self, address: str) -> AsyncIterator[None]:
        """Wait for a turn to check a password. Raises 503 if too many wait.

        An attempt is counted when its turn begins, so that many people with right passwords can
        sign in from one address at once.
        """
        network = principal_of(address)
        if (
            self._waiting.total() >= PASSWORD_CHECKS_WAITING_MAX
            or self._waiting[network] >= PASSWORD_CHECKS_WAITING_PER_ADDRESS_MAX
        ):
            raise web.HTTPServiceUnavailable(
                text="Too many attempts at once. Try again.\n", headers={hdrs.RETRY_AFTER: "5"}
            )
        self._waiting[network] += 1
        try:
            async with self._checking:
                yield
        finally:
            self._waiting[network] -= 1
            if not self._waiting[network]:
                del self._waiting[network]

    async def _user_with(self, name: str, password: str) -> User | None:
        """The user with this password. The check takes the same time for a name that does not
        exist."""
        # Imported when it is used: it loads a native library.
        from pyaiot.accounts.passwords import NO_USER, is_password  # noqa: PLC0415

        user = self.accounts.user(name)
        expected = NO_USER if user is None else user.password
        if not await asyncio.to_thread(is_password, password, expected):
            return None
        # In the meantime, the user may have been removed or may have got another password.
        now = self.accounts.user(name)
        return now if now is not None and now.password == expected else None

    def _failed(
        self, request: web.Request, status: int, problem: str, name: str = ""
    ) -> web.StreamResponse:
        self.refused += 1
        return self._page(request, status=status, problem=problem, name=name)

    def _page(
        self, request: web.Request, *, status: int = 200, problem: str = "", name: str = ""
    ) -> web.StreamResponse:
        text = page(
            title=self._title,
            accepted=request.headers.get(hdrs.ACCEPT_LANGUAGE, ""),
            is_invited="token" in request.query and problem != "used",
            problem=problem,
            name=name,
        )
        return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


async def _form(request: web.Request) -> tuple[str, str]:
    """Name and password of the URL-encoded form; otherwise empty texts."""
    body = await request.read()
    if request.content_type != "application/x-www-form-urlencoded":
        return "", ""
    try:
        # Always UTF-8 (URL standard, section 5.1).
        fields = parse_qs(body.decode(errors="replace"), max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        return "", ""
    name, password = fields.get("name", [""]), fields.get("password", [""])
    # Keyboards of phones append a space to a word.
    return name[-1].strip(), password[-1]


def _who(session: UserSession) -> str:
    """The principal of a session, for the audit log."""
    return f"user:{session.user}" if session.user else f"invitation:{session.digest.hex()[:8]}"


def _is_navigation(request: web.Request) -> bool:
    """Whether a browser opens a page."""
    return request.method == hdrs.METH_GET and "text/html" in request.headers.get(hdrs.ACCEPT, "")
