# SPDX-License-Identifier: BSD-3-Clause
"""The file with tokens, users, sessions and invitations.

The command line writes it while a broker uses it.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyaiot.accounts.private_database import PrivateDatabase
from pyaiot.accounts.roles import Role
from pyaiot.accounts.tokens import Token
from pyaiot.errors import OperatorError

FILE_NAME: Final = "accounts.db"
APPLICATION_ID: Final = 0x41694163
"""In the header of the file; identifies it as the accounts of Pyaiot (`AiAc`)."""
TOKENS_MAX: Final = 10_000
"""Tokens of one broker. One more is refused."""
USERS_MAX: Final = 10_000
"""Users of one broker. One more is refused."""
SESSIONS_MAX: Final = 1000
"""Simultaneous sessions. Another one ends the oldest."""
INVITATIONS_MAX: Final = 1000
"""Invitations that are not used yet. One more is refused."""

MIGRATIONS: Final = (
    # Times are Unix seconds. `digest` is the SHA-256 of a random secret.
    (
        """
        CREATE TABLE token (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
            created_at REAL NOT NULL, expires_at REAL, digest BLOB NOT NULL UNIQUE
        )
        """,
        """
        CREATE TABLE user (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
            password TEXT NOT NULL, created_at REAL NOT NULL
        )
        """,
        # `user` is empty if the session was opened with an invitation.
        """
        CREATE TABLE session (
            digest BLOB PRIMARY KEY, user TEXT NOT NULL, role TEXT NOT NULL,
            created_at REAL NOT NULL, expires_at REAL NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE invitation (
            digest BLOB PRIMARY KEY, role TEXT NOT NULL, is_of_start INTEGER NOT NULL,
            expires_at REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)
"""Statements that migrate each version (`PRAGMA user_version`) to the next. Append only."""

_COLUMNS: Final = "name, role, created_at, expires_at, digest"


@dataclass(frozen=True, slots=True)
class User:
    """A person with a password."""

    name: str
    role: Role
    password: str
    """Its hash."""
    created_at: float


@dataclass(frozen=True, slots=True)
class UserSession:
    """A browser that is signed in."""

    digest: bytes
    user: str
    """Empty: it was opened with an invitation."""
    role: Role
    expires_at: float


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that signs one browser in, once."""

    digest: bytes
    role: Role
    expires_at: float
    is_of_start: bool = False
    """The broker printed it at its start."""


class AccountsFile(PrivateDatabase):
    """Tokens, users, sessions and invitations. Raises `OperatorError` throughout."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file. None: a database in memory, which ends with the process."""
        super().__init__(path, APPLICATION_ID, MIGRATIONS)

    def add_token(self, token: Token) -> None:
        with self._translated_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                (count,) = self._db.execute("SELECT count(*) FROM token").fetchone()
                if count >= TOKENS_MAX:
                    raise OperatorError(f"There are {TOKENS_MAX} tokens already: remove some.")
                self._db.execute(
                    f"INSERT INTO token ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
                    (token.name, token.role, token.created_at, token.expires_at, token.digest),
                )
                self._db.execute("COMMIT")
            except BaseException as error:
                self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError):
                    raise OperatorError(
                        f"There is a token named {token.name!r} already: choose another name, or"
                        " remove it first."
                    ) from error
                raise

    def tokens(self) -> list[Token]:
        """All tokens, in the order in which they were added."""
        with self._translated_errors():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM token ORDER BY id")  # noqa: S608
            return [Token(*row) for row in rows]

    def token_with(self, digest: bytes) -> Token | None:
        """The token whose secret has this SHA-256."""
        with self._translated_errors():
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM token WHERE digest = ?",  # noqa: S608
                (digest,),
            ).fetchone()
        return None if row is None else Token(*row)

    def remove_token(self, name: str) -> bool:
        """False if there is no such token."""
        with self._translated_errors():
            return self._db.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount > 0

    # -- users ----------------------------------------------------------------------------------

    def add_user(self, user: User) -> None:
        with self._translated_errors():
            if len(self.users()) >= USERS_MAX:
                raise OperatorError(f"There are {USERS_MAX} users already: remove some.")
            try:
                self._db.execute(
                    "INSERT INTO user (name, role, password, created_at) VALUES (?, ?, ?, ?)",
                    (user.name, user.role, user.password, user.created_at),
                )
            except sqlite3.IntegrityError as error:
                raise OperatorError(
                    f"There is a user named {user.name!r} already: aiot user passwd changes the"
                    " password."
                ) from error

    def users(self) -> list[User]:
        """All users, in the order in which they were added."""
        with self._translated_errors():
            rows = self._db.execute("SELECT name, role, password, created_at FROM user ORDER BY id")
            return [User(*row) for row in rows]

    def user(self, name: str) -> User | None:
        with self._translated_errors():
            row = self._db.execute(
                "SELECT name, role, password, created_at FROM user WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else User(*row)

    def set_password(self, name: str, password: str) -> bool:
        """Change the hash of a password and end the user's sessions. False: no such user."""
        with self._translated_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            changed = self._db.execute(
                "UPDATE user SET password = ? WHERE name = ?", (password, name)
            ).rowcount
            self._db.execute("DELETE FROM session WHERE user = ?", (name,))
        return changed > 0

    def remove_user(self, name: str) -> bool:
        """Remove a user and end its sessions. False: no such user."""
        with self._translated_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            removed = self._db.execute("DELETE FROM user WHERE name = ?", (name,)).rowcount
            self._db.execute("DELETE FROM session WHERE user = ?", (name,))
        return removed > 0

    # -- sessions -------------------------------------------------------------------------------

    def add_session(self, session: UserSession, now: float) -> None:
        """Add a session. Expired ones are removed, and the oldest beyond `SESSIONS_MAX`."""
        with self._translated_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM session WHERE expires_at <= ?", (now,))
            self._db.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?)",
                (session.digest, session.user, session.role, now, session.expires_at),
            )
            self._db.execute(
                "DELETE FROM session WHERE digest IN (SELECT digest FROM session"
                " ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
                (SESSIONS_MAX,),
            )

    def session(self, digest: bytes, now: float) -> UserSession | None:
        """The session with this digest, unless it has expired."""
        with self._translated_errors():
            row = self._db.execute(
                "SELECT digest, user, role, expires_at FROM session"
                " WHERE digest = ? AND expires_at > ?",
                (digest, now),
            ).fetchone()
        return None if row is None else UserSession(*row)

    def end_session(self, session: UserSession, *, everywhere: bool) -> None:
        """End a session; `everywhere`: also the others of the same user."""
        with self._translated_errors():
            if everywhere and session.user:
                self._db.execute("DELETE FROM session WHERE user = ?", (session.user,))
            else:
                self._db.execute("DELETE FROM session WHERE digest = ?", (session.digest,))

    # -- invitations ----------------------------------------------------------------------------

    def add_invitation(self, invitation: Invitation, now: float) -> None:
        """Add an invitation. One `is_of_start` replaces the last such one."""
        with self._translated_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "DELETE FROM invitation WHERE expires_at <= ? OR (is_of_start AND ?)",
                (now, invitation.is_of_start),
            )
            (count,) = self._db.execute("SELECT count(*) FROM invitation").fetchone()
            if count >= INVITATIONS_MAX:
                raise OperatorError(f"{INVITATIONS_MAX} invitations are open already.")
            self._db.execute(
                "INSERT INTO invitation VALUES (?, ?, ?, ?)",
                (
                    *(invitation.digest, invitation.role, invitation.is_of_start),
                    invitation.expires_at,
                ),
            )

    def use_invitation(self, digest: bytes, now: float) -> Role | None:
        """The role of an invitation, which is used up by this. None: it is not valid."""
        with self._translated_errors():
            row = self._db.execute(
                "DELETE FROM invitation WHERE digest = ? AND expires_at > ? RETURNING role",
                (digest, now),
            ).fetchone()
        return None if row is None else row[0]
