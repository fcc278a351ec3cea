# SPDX-License-Identifier: BSD-3-Clause
"""The identity and rights of the client of a request."""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec
from aiohttp import web

from pyaiot.accounts.roles import Role, includes
from pyaiot.accounts.scopes import EVERYTHING, PUBLIC, Scope
from pyaiot.transport.connection_table import principal_of
from pyaiot.web.access_watch import AccessWatch, End

ClientKind: TypeAlias = Literal["local", "session", "token", "anonymous"]
"""`local`: clients do not sign in. `anonymous`: the client did not sign in and may read."""


class ClientAccess(msgspec.Struct, frozen=True):
    """The identity and rights of a client."""

    kind: ClientKind
    role: Role
    name: str = ""
    """Name of the user or of the token; empty if it was invited or is unknown."""
    scope: Scope = EVERYTHING
    """The nodes that it sees and may command."""
    digest: bytes = b""
    """SHA-256 of the secret of the session or the token."""
    watch: AccessWatch | None = None
    """Ends connections when the access ends."""
    visit: Callable[[], Callable[[], None]] | None = None
    """Counts a connection of a client without sign-in; see `Visitors.connected`."""

    @property
    def may_command(self) -> bool:
        return includes(self.role, "operator")

    def opened(self, end: End) -> Callable[[], None]:
        """Register a lasting connection of the client. Call the result when the connection is
        closed. `end` is called if the access ends first."""
        if self.visit is not None:
            return self.visit()
        if self.watch is None or not self.digest:
            return lambda: None
        return self.watch.opened(self.digest, end)


LOCAL_CLIENT: Final = ClientAccess("local", "admin")
ANONYMOUS: Final = ClientAccess("anonymous", "viewer", scope=PUBLIC)
_ACCESS: Final = web.RequestKey("access", ClientAccess)


def access_of(request: web.Request) -> ClientAccess:
    """The access of the client of a request."""
    access: ClientAccess = request.get(_ACCESS, LOCAL_CLIENT)
    return access


def set_access(request: web.Request, access: ClientAccess) -> None:
    request[_ACCESS] = access


def quota_owner_of(request: web.Request) -> str:
    """The principal of the quotas of a request: a session, a token, or an address (IPv6: a /64
    network, because one host may use all its addresses)."""
    digest = access_of(request).digest
    if digest:
        return digest.hex()
    address = request.remote or ""
    return f"at {principal_of(address) or address}"
