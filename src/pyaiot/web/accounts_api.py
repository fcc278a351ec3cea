# SPDX-License-Identifier: BSD-3-Clause
"""`/api/access`: administrators read and change access, from the dashboard."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import Scope, new_scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.errors import OperatorError
from pyaiot.web.api.edits import read_json
from pyaiot.web.api.responses import json_response
from pyaiot.web.auditing import note
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

ACCESS: Final = "/api/access"
INVITATIONS: Final = "/api/access/invitations"
ENTRY: Final = "/api/access/{kind}/{id}"
INVITATION_LIFE_MAX_S: Final = 366 * 86_400
"""Longest lifetime of an invitation, in seconds. A longer one is refused."""

EntryKind = Literal["user", "token", "session", "gateway", "invitation"]


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user, a token, a session, a gateway with tokens, or an open invitation."""

    kind: EntryKind
    id: str
    """Identifies it among its kind: a name, or the beginning of a digest."""
    name: str = ""
    """Empty for an invitation, and for a session that was opened with one."""
    role: str = ""
    scope: str = ""
    """For people; empty: all nodes."""
    scope_tags: tuple[str, ...] = ()
    scope_gateways: tuple[str, ...] = ()
    expires: float | None = None
    """Unix time in seconds; absent: it does not expire."""
    own: bool = False
    """It belongs to this client."""


class AccessList(msgspec.Struct, frozen=True, kw_only=True):
    """All users, tokens, sessions, gateways and invitations that give access."""

    entries: list[AccessEntry]


class InvitationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The role and limits of an invitation."""

    role: Role = "viewer"
    tags: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    gateways: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    expires_s: Annotated[float, Meta(gt=0, le=INVITATION_LIFE_MAX_S)] = 86_400.0


class InvitationLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that works once. It is shown only in this response."""

    path: str
    """Path and query of the link, on the origin of the dashboard."""


class QrRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text to encode."""

    text: Annotated[str, Meta(min_length=1, max_length=500)]


class QrCode(msgspec.Struct, frozen=True, kw_only=True):
    """A QR code: rows of `1` for dark and `0` for light modules, with a quiet zone."""

    rows: list[str]


_DIGEST_LENGTH: Final = 16


class AccountsApi:
    """The handlers. Must be used on the event loop of the broker."""

    def __init__(
        self,
        accounts: AccountsFile,
        invite: Callable[[Role, float, Scope], Awaitable[str]],
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`invite` takes a role, a lifetime in seconds and a scope. It returns the path of a
        link."""
        self._accounts = accounts
        self._invite = invite
        self._unix_time = unix_time

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(ACCESS, self.list_)
        router.add_post(INVITATIONS, self.invite)
        router.add_post("/api/access/qr", self.qr)
        router.add_delete(ENTRY, self.remove)

    async def list_(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/access`."""
        own = access_of(request).digest
        accounts, now = self._accounts, self._unix_time()
        entries = [
            AccessEntry(
                kind="user", id=it.name, name=it.name, role=it.role, **_scope_fields(it.scope)
            )
            for it in accounts.users()
        ]
        entries += [
            AccessEntry(
                kind="token",
                id=it.name,
                name=it.name,
                role=it.role,
                expires=it.expires_at,
                own=it.digest == own,
                **_scope_fields(it.scope),
            )
            for it in accounts.tokens()
        ]
        entries += [
            AccessEntry(
                kind="session",
                id=it.digest.hex()[:_DIGEST_LENGTH],
                name=it.user,
                role=it.role,
                expires=it.expires_at,
                own=it.digest == own,
                **_scope_fields(it.scope),
            )
            for it in accounts.sessions(now)
        ]
        gateways = {it.gateway: it for it in reversed(accounts.gateway_tokens())}
        entries += [
            AccessEntry(kind="gateway", id=name, name=name, expires=it.expires_at)
            for name, it in sorted(gateways.items())
        ]
        entries += [
            AccessEntry(
                kind="invitation",
                id=it.id,
                role=it.role,
                expires=it.expires_at,
                **_scope_fields(it.scope),
            )
            for it in accounts.invitations(now)
        ]
        return json_response(AccessList(entries=entries))

    async def invite(self, request: web.Request) -> web.StreamResponse:
        """`POST /api/access/invitations`."""
        wanted = await read_json(request, InvitationRequest)
        try:
            scope = new_scope(wanted.role, wanted.tags, wanted.gateways)
            path = await self._invite(wanted.role, wanted.expires_s, scope)
        except OperatorError as error:
            raise ProblemError(400, "bad-request", str(error)) from error
        note(request, detail=", ".join(filter(None, (wanted.role, scope.text))))
        return json_response(InvitationLink(path=path))

    async def qr(self, request: web.Request) -> web.StreamResponse:
        """`POST /api/access/qr`: not GET, because the text may be a secret."""
        from pyaiot.accounts.qr_code import qr_rows  # noqa: PLC0415 - few need it

        return json_response(QrCode(rows=qr_rows((await read_json(request, QrRequest)).text)))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /api/access/{kind}/{id}`. Its connections are closed within a second."""
        kind, id_ = request.match_info["kind"], request.match_info["id"]
        note(request, detail=f"{kind}:{id_}")
        if not await self._accounts.change(lambda it: self._remove(it, kind, id_)):
            raise web.HTTPNotFound(text=f"There is no such {kind[:16]}.\n")
        return web.Response(status=204)

    def _remove(self, accounts: AccountsFile, kind: str, id_: str) -> bool:
        """Returns False if it does not exist."""
        match kind:
            case "user":
                return accounts.remove_user(id_)
            case "token":
                return accounts.remove_token(id_)
            case "gateway":
                return accounts.remove_gateway_tokens(id_, keeps_latest=False) > 0
            case "invitation":
                return accounts.remove_invitation(id_)
            case "session":
                found = [
                    it
                    for it in accounts.sessions(self._unix_time())
                    if it.digest.hex()[:_DIGEST_LENGTH] == id_
                ]
                for session in found:
                    accounts.end_session(session, everywhere=False)
                return bool(found)
            case _:
                return False


def _scope_fields(scope: Scope) -> dict[str, Any]:
    return {
        "scope": scope.text,
        "scope_tags": scope.tags,
        "scope_gateways": scope.gateways,
    }
