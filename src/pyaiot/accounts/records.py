# SPDX-License-Identifier: BSD-3-Clause
"""What the file of accounts holds, besides the tokens of programs. Times are Unix seconds. Pure."""

from dataclasses import dataclass
from typing import Final

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import EVERYTHING, Scope

INVITATION_ID_LENGTH: Final = 16
"""Digits of the id of an invitation."""


@dataclass(frozen=True, slots=True)
class User:
    """A person with a password."""

    name: str
    role: Role
    password: str
    """Its hash."""
    created_at: float
    scope: Scope = EVERYTHING


@dataclass(frozen=True, slots=True)
class UserSession:
    """A browser that is signed in."""

    digest: bytes
    user: str
    """Empty: it was opened with an invitation."""
    role: Role
    expires_at: float
    scope: Scope = EVERYTHING
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that signs one browser in, once."""

    digest: bytes
    role: Role
    expires_at: float
    is_of_start: bool = False
    """The broker printed it at its start."""
    scope: Scope = EVERYTHING

    @property
    def id(self) -> str:
        """Names it, and opens nothing."""
        return self.digest.hex()[:INVITATION_ID_LENGTH]


@dataclass(frozen=True, slots=True)
class GatewayToken:
    """A token of a gateway, which may have several: the latest one and those it replaces."""

    gateway: str
    """Name of the gateway. It owns its nodes by this name."""
    created_at: float
    expires_at: float | None
    """None: it does not expire."""
    digest: bytes
    """SHA-256 of the secret."""
