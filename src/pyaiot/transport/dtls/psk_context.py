# SPDX-License-Identifier: BSD-3-Clause
"""OpenSSL with pre-shared keys (RFC 4279). Pure.

Private names of cryptography are used only in this file: pyOpenSSL has no callbacks for pre-shared
keys, but the library below it has.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from pyaiot.errors import OperatorError

KEY_BYTES_MAX: Final = 64
"""Longest key in bytes. With a longer one the handshake fails, as it does without a key."""
_UNKNOWN_KEY_BYTES: Final = 16
CIPHER_SUITES: Final = (
    "ECDHE-PSK-CHACHA20-POLY1305",  # forward secrecy, for clients that support it
    "PSK-AES128-CCM8",  # RFC 7252 section 9.1.3.1: every CoAP node has it
    *("PSK-AES128-CCM", "PSK-AES128-GCM-SHA256", "PSK-CHACHA20-POLY1305"),
    *("PSK-AES256-CCM8", "PSK-AES256-CCM", "PSK-AES256-GCM-SHA384"),
)
"""Only suites with authenticated encryption, the preferred ones first."""
MTU: Final = 1200
"""Largest datagram of the handshake in bytes: it fits the smallest MTU of IPv6, 1,280."""
_RELEASE_BUFFERS: Final = 0x10
"""SSL_MODE_RELEASE_BUFFERS: an idle session keeps no buffers."""

PskOf: TypeAlias = Callable[[str], bytes | None]
"""Returns the key of an identity; None if it has no key. It is called during a handshake, and must
not wait."""


class PskContext:
    """The state that all sessions of one server, or of one client, share."""

    def __init__(self, *, is_server: bool) -> None:
        """Private: use `for_server` or `for_client`."""
        binding = Binding()
        self._lib, self._ffi = binding.lib, binding.ffi
        if not self._lib.Cryptography_HAS_PSK:
            raise OperatorError(
                "The OpenSSL of the Python package cryptography has no pre-shared keys: install"
                " its wheel."
            )
        self.is_server = is_server
        self.identity: str | None = None
        """The identity that the last handshake received; None if it was not UTF-8."""
        self.is_known = False
        """Whether that identity has a key."""
        self._error: BaseException | None = None
        self._callback: Any = None
        """Keeps a reference: OpenSSL has none."""
        method = SSL.DTLS_SERVER_METHOD if is_server else SSL.DTLS_CLIENT_METHOD
        self.context = context = SSL.Context(method)
        # Tickets would keep a session usable after its key is revoked.
        context.set_options(
            SSL.OP_NO_QUERY_MTU
            | SSL.OP_NO_TICKET
            | SSL.OP_CIPHER_SERVER_PREFERENCE
            | self._lib.SSL_OP_NO_RENEGOTIATION
        )
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(_RELEASE_BUFFERS)
        # Level 1 and above exclude CCM8, whose tag has 64 bits.
        context.set_cipher_list(":".join((*CIPHER_SUITES, "@SECLEVEL=0")).encode())

    @classmethod
    def for_server(cls, psk_of: PskOf) -> "PskContext":
        """A server whose clients have the keys that `psk_of` returns.

        A client without a key is treated like a client with a wrong key, so that peers cannot find
        out which identities exist (RFC 4279 section 2). Raises `OperatorError`.
        """
        self = cls(is_server=True)
        secret = secrets.token_bytes(32)

        def find(_ssl: Any, identity: Any, key_buffer: Any, size: int) -> int:
            raw = self._ffi.string(identity)
            self.identity = _text(raw)
            key = None if self.identity is None else psk_of(self.identity)
            unknown = hmac.digest(secret, raw, hashlib.sha256)[:_UNKNOWN_KEY_BYTES]
            self.is_known = key is not None and 0 < len(key) <= min(size, KEY_BYTES_MAX)
            used = key if self.is_known and key is not None else unknown
            key_buffer[0 : len(used)] = used
            return len(used)

        self._callback = self._callback_of(
            "unsigned int(SSL *, const char *, unsigned char *, unsigned int)", find
        )
        self._lib.SSL_CTX_set_psk_server_callback(self.context._context, self._callback)
        # The cookie is checked before OpenSSL gets a ClientHello.
        self.context.set_cookie_generate_callback(lambda _connection: b"-")
        self.context.set_cookie_verify_callback(lambda _connection, _cookie: True)
        return self

    @classmethod
    def for_client(cls, identity: str, key: bytes) -> "PskContext":
        """A client with one key. Raises `OperatorError`."""
        self = cls(is_server=False)
        raw = identity.encode()

        def find(
            _ssl: Any, _hint: Any, identity_buffer: Any, size: int, key_buffer: Any, key_size: int
        ) -> int:
            if len(raw) >= size or len(key) > key_size:
                return 0
            identity_buffer[0 : len(raw) + 1] = raw + b"\0"
            key_buffer[0 : len(key)] = key
            return len(key)

        self._callback = self._callback_of(
            "unsigned int(SSL *, const char *, char *, unsigned int, unsigned char *,"
            " unsigned int)",
            find,
        )
        self._lib.SSL_CTX_set_psk_client_callback(self.context._context, self._callback)
        return self

    def _callback_of(self, signature: str, function: Callable[..., int]) -> Any:
        try:
            return self._ffi.callback(signature, function, error=0, onerror=self._failed)
        except MemoryError as error:
            raise OperatorError(
                "DTLS needs memory that is writable and executable: remove"
                " MemoryDenyWriteExecute=yes from the unit file, or allow execmem in SELinux."
            ) from error

    def raise_if_failed(self) -> None:
        """Raise the exception of a callback, which cannot pass through OpenSSL."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _failed(self, _type: Any, error: BaseException, _traceback: Any) -> None:
        self._error = error


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
