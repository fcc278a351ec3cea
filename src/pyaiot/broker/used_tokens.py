# SPDX-License-Identifier: BSD-3-Clause
"""Used tokens of gateways: a token works once, also across restarts of the broker."""

import contextlib
import fcntl
import heapq
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TOKENS_REMEMBERED_MAX: Final = 100_000
"""Largest number of used tokens that are remembered. Beyond it the oldest is forgotten, and every
token that is not newer is refused."""
_HEADER: Final = "# Used gateway tokens of Pyaiot: Unix time of a token, SHA-256 of it\n"
_ALL: Final = "*"
"""Replaces a digest: every token that is not newer is refused."""
_DIGEST_BYTES: Final = 32

log = logging.getLogger(__name__)


class UsedTokens:
    """Used tokens by their SHA-256. Pure. Times are Unix seconds of the tokens."""

    def __init__(self, *, tokens_max: int = TOKENS_REMEMBERED_MAX) -> None:
        self._tokens_max = tokens_max
        self._digests: set[bytes] = set()
        self._by_age: list[tuple[int, bytes]] = []
        self._refused_until = -1
        """Tokens made at this time or earlier are refused: it is unknown which were used."""

    def __len__(self) -> int:
        return len(self._digests)

    def refuses(self, digest: bytes, made_at: int) -> bool:
        """Whether this token was used, or may have been used."""
        return digest in self._digests or made_at <= self._refused_until

    def add(self, digest: bytes, made_at: int) -> None:
        """Remember a used token."""
        if digest in self._digests:
            return
        self._digests.add(digest)
        heapq.heappush(self._by_age, (made_at, digest))
        if len(self._by_age) > self._tokens_max:
            forgotten_at, forgotten = heapq.heappop(self._by_age)
            self._digests.discard(forgotten)
            self.refuse_until(forgotten_at)

    def refuse_until(self, made_at: int) -> None:
        """Refuse every token made at this time or earlier."""
        self._refused_until = max(self._refused_until, made_at)

    def lines(self) -> Iterator[str]:
        """The lines of a file with these tokens."""
        if self._refused_until >= 0:
            yield f"{self._refused_until} {_ALL}\n"
        for made_at, digest in self._by_age:
            yield _line(digest, made_at)

    def read(self, line: str) -> None:
        """Add the token of a line. A truncated line, left by a crash, is skipped."""
        made_at, _, name = line.partition(" ")
        with contextlib.suppress(ValueError):
            if name == _ALL:
                self.refuse_until(int(made_at))
            elif len(digest := bytes.fromhex(name)) == _DIGEST_BYTES:
                self.add(digest, int(made_at))


class UsedTokensFile:
    """Used tokens in a file, which survives the process.

    The file is not synchronised to disk: after a power failure, the tokens of the last seconds may
    be missing. Several processes may share a file: each sees the tokens that the others have used.
    """

    def __init__(self, path: Path, *, tokens_max: int) -> None:
        self._path = path
        self._tokens_max = tokens_max
        self._known = UsedTokens(tokens_max=tokens_max)
        self._unwritten: list[str] = []
        """Lines that are not written yet."""
        self._lines = 0
        """Number of lines in the file."""
        self._is_kept = True
        self._seen = (0, 0)
        """The inode of the file, and the number of bytes that were read."""

    @classmethod
    def open(
        cls, path: Path, now: float, *, tokens_max: int = TOKENS_REMEMBERED_MAX
    ) -> "UsedTokensFile":
        """Read or create the file. `now` is Unix time.

        If it cannot be read and written, tokens made before now are refused, because it is unknown
        which of them were used. Gateways make a new token for each connection.
        """
        tokens = cls(path, tokens_max=tokens_max)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tokens._locked():
                tokens._read()
        except (OSError, ValueError) as error:
            log.warning(
                "used gateway tokens cannot be kept in %s (%s): tokens made before this start are"
                " refused",
                path,
                getattr(error, "strerror", None) or "it is not a record of used tokens",
            )
            tokens._is_kept = False
            tokens._known.refuse_until(int(now))
        return tokens

    def __len__(self) -> int:
        return len(self._known)

    def refuses(self, digest: bytes, made_at: int) -> bool:
        """See `UsedTokens.refuses`."""
        if self._is_kept:
            # A file that was deleted, or cannot be read now, adds nothing.
            with contextlib.suppress(OSError):
                self._read_of_others()
        return self._known.refuses(digest, made_at)

    def _read_of_others(self) -> None:
        """Add the tokens that other processes have used since the last call."""
        if self._state() == self._seen:
            return
        with self._locked(), self._path.open("rb") as file:
            inode, known = self._seen
            now = self._state()
            file.seek(known if now[0] == inode and now[1] > known else 0)
            lines = file.read().decode("ascii", "replace").splitlines()
            self._seen = now
        for line in lines:
            self._known.read(line)

    def _state(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_ino, status.st_size

    def add(self, digest: bytes, made_at: int) -> None:
        """See `UsedTokens.add`. It is written before this returns, if the file can be written."""
        self._known.add(digest, made_at)
        if not self._is_kept:
            return
        self._unwritten.append(_line(digest, made_at))
        del self._unwritten[: -self._tokens_max]
        try:
            with self._locked():
                self._append()
        except OSError as error:
            # Refusing the gateway would lose readings; the record is written with the next token.
            log.warning(
                "used gateway tokens cannot be written to %s (%s): a restart forgets %d of them",
                self._path,
                error.strerror,
                len(self._unwritten),
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._path.with_name(self._path.name + ".lock"), _FLAGS, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> None:
        """Raises `ValueError` if it is not a record of used tokens."""
        text = self._path.read_text(encoding="ascii") if self._path.exists() else ""
        if text and not text.startswith(_HEADER):
            raise ValueError
        lines = text.splitlines()[1:]
        for line in lines:
            self._known.read(line)
        self._lines = len(lines)
        if not text.endswith("\n") or len(lines) > 2 * self._tokens_max:
            self._replace()

    def _append(self) -> None:
        if not self._path.exists():
            self._replace()
        else:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.writelines(self._unwritten)
            self._lines += len(self._unwritten)
        self._unwritten.clear()

    def _replace(self) -> None:
        """Write a new file of all known tokens. It replaces the old one when it is complete."""
        lines = list(self._known.lines())
        new = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(os.open(new, _FLAGS | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.writelines([_HEADER, *lines])
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        self._lines = len(lines)


_FLAGS: Final = os.O_WRONLY | os.O_CREAT


def _line(digest: bytes, made_at: int) -> str:
    return f"{made_at} {digest.hex()}\n"
