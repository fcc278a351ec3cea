# SPDX-License-Identifier: BSD-3-Clause
"""The file of accounts: users, sessions, invitations, tokens of programs and of gateways."""

import math
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pyaiot.accounts.database import FILE_NAME, AccountsDatabase
from pyaiot.accounts.records import (
    INVITATION_ID_LENGTH,
    GatewayToken,
    Invitation,
    User,
    UserSession,
)
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.tokens import Token
from pyaiot.errors import OperatorError

__all__ = [
    "FILE_NAME",
    "AccountsFile",
    "GatewayToken",
    "Invitation",
    "User",
    "UserSession",
]

TOKENS_MAX: Final = 10_000
"""Largest number of tokens. Further ones are refused."""
USERS_MAX: Final = 10_000
"""Largest number of users. Further ones are refused."""
SESSIONS_MAX: Final = 1000
"""Largest number of sessions, including expired ones. A new session beyond it replaces an expired
one, otherwise the oldest.
"""
INVITATIONS_MAX: Final = 1000
"""Largest number of unused invitations. Beyond it expired ones are removed, and a new one is
refused if none has expired.
"""
START_TOGETHER_S: Final = 60.0
"""The invitations of brokers of a cluster that start within this time are all valid."""
GATEWAY_TOKENS_MAX: Final = 10_000
"""Largest number of tokens of all gateways. Further ones are refused."""
TOKENS_OF_GATEWAY_MAX: Final = 10
"""Largest number of tokens of one gateway. Further ones are refused until older ones
are removed.
"""

T = TypeVar("T")

_COLUMNS: Final = "name, role, created_at, expires_at, digest, scope"
_USER_COLUMNS: Final = "name, role, password, created_at, scope"
_SESSION_COLUMNS: Final = "digest, user, role, expires_at, scope, created_at"
_GATEWAY_COLUMNS: Final = "gateway, created_at, expires_at, digest"


class AccountsFile(AccountsDatabase):
    """The accounts, in a SQLite file that only its owner can read. Every method raises
    `OperatorError`.
    """

    is_shared = False
    """Whether several brokers share the accounts in a database."""

    async def change(self, operation: Callable[["AccountsFile"], T]) -> T:
        """Run an operation that writes. In a cluster, it takes effect at all brokers."""
        return operation(self)

    async def look(self) -> bool:
        """Apply changes of other brokers that are not known here yet. Returns whether there were
        any.
        """
        return False

    def add_token(self, token: Token) -> None:
        with self._transaction():
            (count,) = self._db.execute("SELECT count(*) FROM token").fetchone()
            if count >= TOKENS_MAX:
                raise OperatorError(f"There are {TOKENS_MAX} tokens already: remove some.")
            try:
                self._db.execute(
                    f"INSERT INTO token ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                    (
                        *(token.name, token.role, token.created_at, token.expires_at),
                        *(token.digest, token.scope.to_json()),
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise OperatorError(
                    f"There is a token named {token.name!r} already: choose another name, or"
                    " remove it first."
                ) from error

    def tokens(self) -> list[Token]:
        """All tokens, in the order in which they were added."""
        with self._translated_errors():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM token ORDER BY id")  # noqa: S608
            return [_token(row) for row in rows]

    def token_with(self, digest: bytes) -> Token | None:
        """The token whose secret has this SHA-256."""
        with self._translated_errors():
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM token WHERE digest = ?",  # noqa: S608
                (digest,),
            ).fetchone()
        return None if row is None else _token(row)

    def remove_token(self, name: str) -> bool:
        """Remove a token. Returns False if it does not exist."""
        with self._translated_errors():
            return self._db.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount > 0

    # -- users ----------------------------------------------------------------------------------

    def add_user(self, user: User) -> None:
        with self._translated_errors():
            if len(self.users()) >= USERS_MAX:
                raise OperatorError(f"There are {USERS_MAX} users already: remove some.")
            try:
                self._db.execute(
                    f"INSERT INTO user ({_USER_COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
                    (
                        *(user.name, user.role, user.password, user.created_at),
                        user.scope.to_json(),
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise OperatorError(
                    f"There is a user named {user.name!r} already: aiot user passwd changes the"
                    " password."
                ) from error

    def users(self) -> list[User]:
        """All users, in the order in which they were added."""
        with self._translated_errors():
            rows = self._db.execute(f"SELECT {_USER_COLUMNS} FROM user ORDER BY id")  # noqa: S608
            return [_user(row) for row in rows]

    def user(self, name: str) -> User | None:
        with self._translated_errors():
            row = self._db.execute(
                f"SELECT {_USER_COLUMNS} FROM user WHERE name = ?",  # noqa: S608
                (name,),
            ).fetchone()
        return None if row is None else _user(row)

    def set_password(self, name: str, password: str) -> bool:
        """Change the hash of a password and end the user's sessions. Returns False if the user
        does not exist.
        """
        with self._transaction():
            changed = self._db.execute(
                "UPDATE user SET password = ? WHERE name = ?", (password, name)
            ).rowcount
            self._db.execute("DELETE FROM session WHERE user = ?", (name,))
        return changed > 0

    def remove_user(self, name: str) -> bool:
        """Remove a user and end its sessions. Returns False if the user does not exist."""
        with self._transaction():
            removed = self._db.execute("DELETE FROM user WHERE name = ?", (name,)).rowcount
            self._db.execute("DELETE FROM session WHERE user = ?", (name,))
        return removed > 0

    # -- sessions -------------------------------------------------------------------------------

    def add_session(self, session: UserSession, now: float) -> None:
        """Add a session. Beyond `SESSIONS_MAX` one expired session is removed, otherwise the
        oldest one.

        Expired sessions are not all removed: if the clock was ahead for a while, they are valid
        again when it is corrected.
        """
        with self._transaction():
            self._db.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(session.digest, session.user, session.role, now, session.expires_at),
                    session.scope.to_json(),
                ),
            )
            self._db.execute(
                "DELETE FROM session WHERE digest IN (SELECT digest FROM session"
                " ORDER BY expires_at > ? DESC, created_at DESC LIMIT -1 OFFSET ?)",
                (now, SESSIONS_MAX),
            )

    def session(self, digest: bytes, now: float) -> UserSession | None:
        """The session with this digest, unless it has expired."""
        with self._translated_errors():
            row = self._db.execute(
                f"SELECT {_SESSION_COLUMNS} FROM session"  # noqa: S608
                " WHERE digest = ? AND expires_at > ?",
                (digest, now),
            ).fetchone()
        return None if row is None else _session(row)

    def sessions(self, now: float) -> list[UserSession]:
        """The sessions that have not expired, latest first."""
        with self._translated_errors():
            rows = self._db.execute(
                f"SELECT {_SESSION_COLUMNS} FROM session WHERE expires_at > ?"  # noqa: S608
                " ORDER BY created_at DESC",
                (now,),
            )
            return [_session(row) for row in rows]

    def end_session(self, session: UserSession, *, everywhere: bool) -> None:
        """End a session; with `everywhere`, all sessions of its user."""
        with self._translated_errors():
            if everywhere and session.user:
                self._db.execute("DELETE FROM session WHERE user = ?", (session.user,))
            else:
                self._db.execute("DELETE FROM session WHERE digest = ?", (session.digest,))

    # -- invitations ----------------------------------------------------------------------------

    def add_invitation(self, invitation: Invitation, now: float) -> None:
        """Add an invitation. One with `is_of_start` replaces the previous such one, unless that
        belongs to a broker that is starting at the same time. Expired ones are removed when there
        are `INVITATIONS_MAX`: see `add_session`.
        """
        with self._transaction():
            if invitation.is_of_start:
                before = invitation.expires_at - START_TOGETHER_S if self.is_shared else math.inf
                self._db.execute(
                    "DELETE FROM invitation WHERE is_of_start AND expires_at < ?", (before,)
                )
            (count,) = self._db.execute("SELECT count(*) FROM invitation").fetchone()
            if count >= INVITATIONS_MAX:
                count -= self._db.execute(
                    "DELETE FROM invitation WHERE expires_at <= ?", (now,)
                ).rowcount
            if count >= INVITATIONS_MAX:
                raise OperatorError(f"{INVITATIONS_MAX} invitations are open already.")
            self._db.execute(
                "INSERT INTO invitation VALUES (?, ?, ?, ?, ?)",
                (
                    *(invitation.digest, invitation.role, invitation.is_of_start),
                    *(invitation.expires_at, invitation.scope.to_json()),
                ),
            )

    def use_invitation(self, digest: bytes, now: float) -> Invitation | None:
        """Use an invitation, which removes it. Returns None if it is not valid."""
        with self._translated_errors():
            row = self._db.execute(
                "DELETE FROM invitation WHERE digest = ? AND expires_at > ?"
                " RETURNING role, expires_at, scope",
                (digest, now),
            ).fetchone()
        if row is None:
            return None
        role, expires_at, scope = row
        return Invitation(digest, role, expires_at, scope=Scope.from_json(scope))

    def invitations(self, now: float) -> list[Invitation]:
        """The open invitations, the first to expire first."""
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT digest, role, expires_at, is_of_start, scope FROM invitation"
                " WHERE expires_at > ? ORDER BY expires_at",
                (now,),
            ).fetchall()
        return [
            Invitation(digest, role, expires_at, bool(is_of_start), Scope.from_json(scope))
            for digest, role, expires_at, is_of_start, scope in rows
        ]

    def remove_invitation(self, id_: str) -> bool:
        """Remove the invitation with this `Invitation.id`. Returns False if it does not exist."""
        with self._translated_errors():
            removed = self._db.execute(
                "DELETE FROM invitation WHERE substr(lower(hex(digest)), 1, ?) = ?",
                (INVITATION_ID_LENGTH, id_),
            ).rowcount
        return removed > 0

    # -- gateways -------------------------------------------------------------------------------

    def add_gateway_token(
        self, token: GatewayToken, *, is_new: bool, others_expire_at: float | None = None
    ) -> None:
        """Add a token of a gateway.

        `is_new`: the gateway must not have a token yet; otherwise it must have one.
        `others_expire_at`: when its other tokens expire, unless they expire earlier; None:
        unchanged.
        """
        name = token.gateway
        with self._transaction():
            (count,) = self._db.execute("SELECT count(*) FROM gateway_token").fetchone()
            (own,) = self._db.execute(
                "SELECT count(*) FROM gateway_token WHERE gateway = ?", (name,)
            ).fetchone()
            if is_new and own:
                raise OperatorError(
                    f"There is a gateway named {name!r} already: aiot gateway rotate makes another"
                    " token for it."
                )
            if not is_new and not own:
                raise OperatorError(f"There is no gateway named {name!r}: see aiot gateway list.")
            expired = self._db.execute(
                "DELETE FROM gateway_token WHERE gateway = ? AND expires_at <= ?",
                (name, token.created_at),
            ).rowcount
            count, own = count - expired, own - expired
            if count >= GATEWAY_TOKENS_MAX:
                raise OperatorError(f"There are {GATEWAY_TOKENS_MAX} tokens of gateways already.")
            if own >= TOKENS_OF_GATEWAY_MAX:
                raise OperatorError(
                    f"The gateway {name!r} has {own} tokens: aiot gateway remove {name} --old"
                    " removes all but the latest."
                )
            if others_expire_at is not None:
                self._db.execute(
                    "UPDATE gateway_token SET expires_at = min(ifnull(expires_at, ?1), ?1)"
                    " WHERE gateway = ?2",
                    (others_expire_at, name),
                )
            self._db.execute(
                "INSERT INTO gateway_token (gateway, created_at, expires_at, digest)"
                " VALUES (?, ?, ?, ?)",
                (name, token.created_at, token.expires_at, token.digest),
            )

    def gateway_tokens(self) -> list[GatewayToken]:
        """The tokens of all gateways, by name, the latest of each gateway first."""
        with self._translated_errors():
            rows = self._db.execute(
                f"SELECT {_GATEWAY_COLUMNS} FROM gateway_token ORDER BY gateway, id DESC"  # noqa: S608
            )
            return [GatewayToken(*row) for row in rows]

    def gateway_token_with(self, digest: bytes, now: float) -> GatewayToken | None:
        """The token of a gateway whose secret has this SHA-256, unless it has expired."""
        with self._translated_errors():
            row = self._db.execute(
                f"SELECT {_GATEWAY_COLUMNS} FROM gateway_token"  # noqa: S608
                " WHERE digest = ? AND ifnull(expires_at > ?, TRUE)",
                (digest, now),
            ).fetchone()
        return None if row is None else GatewayToken(*row)

    def remove_gateway_tokens(self, gateway: str, *, keeps_latest: bool) -> int:
        """Remove the tokens of a gateway, or all but its latest. Returns how many it had before."""
        with self._transaction():
            (count,) = self._db.execute(
                "SELECT count(*) FROM gateway_token WHERE gateway = ?", (gateway,)
            ).fetchone()
            self._db.execute(
                "DELETE FROM gateway_token WHERE gateway = ?1 AND NOT (?2 AND id ="
                " (SELECT max(id) FROM gateway_token WHERE gateway = ?1))",
                (gateway, keeps_latest),
            )
        return int(count)

    # -- what is open ---------------------------------------------------------------------------

    def valid_until(self, now: float) -> dict[bytes, float]:
        """Expiry time of everything that grants access, by SHA-256 of the secret; infinity: no
        expiry. Expired entries and invitations are not included.
        """
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT digest, expires_at FROM token UNION ALL"
                " SELECT digest, expires_at FROM gateway_token UNION ALL"
                " SELECT digest, expires_at FROM session"
            )
            ends = {digest: math.inf if end is None else end for digest, end in rows}
        return {digest: end for digest, end in ends.items() if end > now}


def _token(row: tuple[Any, ...]) -> Token:
    name, role, created_at, expires_at, digest, scope = row
    return Token(name, role, created_at, expires_at, digest, Scope.from_json(scope))


def _user(row: tuple[Any, ...]) -> User:
    name, role, password, created_at, scope = row
    return User(name, role, password, created_at, Scope.from_json(scope))


def _session(row: tuple[Any, ...]) -> UserSession:
    digest, user, role, expires_at, scope, created_at = row
    return UserSession(digest, user, role, expires_at, Scope.from_json(scope), created_at)
