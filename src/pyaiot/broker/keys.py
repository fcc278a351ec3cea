# SPDX-License-Identifier: BSD-3-Clause
"""The key file that gateways and broker share, and the tokens made with it (PROTOCOLS 2).

`[keys] secret` (32 characters) is what a token says, `private` (a Fernet key) is what seals it.
"""

import base64
import configparser
import contextlib
import hashlib
import os
import secrets
import stat
import string
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyaiot.errors import OperatorError, reason_of

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SECRET_LENGTH: Final = 32
TOKEN_AGE_MAX_S: Final = 24 * 3600
TOKENS_REMEMBERED_MAX: Final = 100_000
"""Used tokens remembered, so that none works twice. Beyond, the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Never logged: the repr shows neither."""

    secret: str = field(repr=False)
    private: str = field(repr=False)


def load_keys(path: Path) -> Keys:
    """Read a key file. Raises `OperatorError` with what to do about it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise OperatorError(
            f"There is no key file {path}: make one with aiot generate-keys --key-file {path}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"The key file {path} cannot be read: {reason_of(error)}.") from error
    if mode & stat.S_IRWXO:
        raise OperatorError(
            f"The key file {path} is open to every user: mend it with chmod 600 {path}."
        )
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        keys = Keys(parser.get("keys", "secret"), parser.get("keys", "private"))
        _check_fernet_key(keys.private)
    except (configparser.Error, ValueError) as error:
        # The parser's own words would quote the file's lines.
        raise OperatorError(
            f"The key file {path} is not one: it needs [keys] with secret and private."
        ) from error
    return keys


def write_keys(path: Path, keys: Keys, *, replace: bool = False) -> None:
    """Write a key file that only its owner can read. Raises `OperatorError`."""
    text = f"[keys]\nsecret = {keys.secret}\nprivate = {keys.private}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if replace:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise OperatorError(
            f"The key file {path} exists: keep it, or make new keys with --force."
        ) from error
    except OSError as error:
        raise OperatorError(
            f"The key file {path} cannot be written: {reason_of(error)}."
        ) from error


def generate_keys() -> Keys:
    """New keys, from the system's source of randomness."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - 8 MB that `aiot run` can do without

    alphabet = string.ascii_letters + string.digits
    secret = "".join(secrets.choice(alphabet) for _ in range(SECRET_LENGTH))
    return Keys(secret, Fernet.generate_key().decode())


def mint_token(keys: Keys) -> str:
    """A token for one connection, made afresh each time."""
    return _fernet(keys).encrypt(keys.secret.encode()).decode()


class TokenCheck:
    """Says whether a token opens the door: ours, at most 24 hours old, not used before."""

    def __init__(self, keys: Keys, unix_time: Callable[[], float]) -> None:
        self._keys = keys
        self._unix_time = unix_time
        self._fernet: Fernet | None = None
        """Made when somebody knocks: most brokers have no gateway in another process."""
        self._used: OrderedDict[bytes, None] = OrderedDict()

    def accept(self, token: str) -> bool:
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see generate_keys

        if self._fernet is None:
            self._fernet = _fernet(self._keys)
        try:
            plain = self._fernet.decrypt_at_time(
                token, ttl=TOKEN_AGE_MAX_S, current_time=int(self._unix_time())
            )
        except (InvalidToken, ValueError, TypeError):
            return False
        if not secrets.compare_digest(plain, self._keys.secret.encode()):
            return False
        # The sealed bytes, not their text: base64 can be written in many ways.
        digest = hashlib.sha256(base64.urlsafe_b64decode(token)).digest()
        if digest in self._used:
            return False
        self._used[digest] = None
        if len(self._used) > TOKENS_REMEMBERED_MAX:
            self._used.popitem(last=False)
        return True


def _check_fernet_key(key: str) -> None:
    """Raise ValueError for what is no Fernet key: 32 bytes in URL-safe base64."""
    if len(base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)) != 32:
        raise ValueError("a Fernet key has 32 bytes")


def _fernet(keys: Keys) -> "Fernet":
    from cryptography.fernet import Fernet  # noqa: PLC0415 - see generate_keys

    return Fernet(keys.private)
