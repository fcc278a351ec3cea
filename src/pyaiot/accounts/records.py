# SPDX-License-Identifier: BSD-3-Clause
"""Records in the file of accounts, except the tokens of programs. Times are Unix seconds. Pure."""

from typing import Final

import msgspec

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import EVERYTHING, Scope

INVITATION_ID_LENGTH: Final = 16
"""Digits of the id of an invitation."""


class User(msgspec.Struct, frozen=True):
    """A person with a password."""

    name: str
    role: Role
    password: str
    """Hash of the password."""
    created_at: float
    scope: Scope = EVERYTHING


class UserSession(msgspec.Struct, frozen=True):
    """A browser that is signed in."""

    digest: bytes
    user: str
    """Name of the user; empty if the session was opened with an invitation."""
    role: Role
    expires_at: float
    scope: Scope = EVERYTHING
    created_at: float = 0.0


class Invitation(msgspec.Struct, frozen=True):
    """An invitation: a link that signs in one browser, once."""

    digest: bytes
    role: Role
    expires_at: float
    is_of_start: bool = False
    """The broker printed the link when it started."""
    scope: Scope = EVERYTHING

    @property
    def id(self) -> str:
        """Identifies the invitation in lists. It does not grant access."""
        return self.digest.hex()[:INVITATION_ID_LENGTH]


class GatewayToken(msgspec.Struct, frozen=True):
    """A token of a gateway. A gateway may have several: the latest one and those it replaces."""

    gateway: str
    """Name of the gateway. It owns its nodes by this name."""
    created_at: float
    expires_at: float | None
    """None: it does not expire."""
    digest: bytes
    """SHA-256 of the secret."""
