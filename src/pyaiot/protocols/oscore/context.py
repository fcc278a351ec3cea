# SPDX-License-Identifier: BSD-3-Clause
"""The security context of two endpoints (RFC 8613 sections 3 and 5). Pure.

Uses the mandatory algorithms: AES-CCM-16-64-128, and HKDF with SHA-256.
"""

from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pyaiot.errors import ProtocolError
from pyaiot.protocols.oscore.option import PARTIAL_IV_BYTES_MAX

ID_BYTES_MAX: Final = 7
"""Longest Sender ID in bytes: the length of the nonce minus 6 (section 3.3). A longer one is a
`ValueError`."""
SEQUENCE_NUMBERS: Final = 1 << 40
"""Number of sender sequence numbers of one context (section 7.2.1). After the last one nothing is
sent, because no unused nonce is left."""
_TAG_BYTES: Final = 8
_KEY_BYTES: Final = 16
_NONCE_BYTES: Final = 13
_AES_CCM_16_64_128: Final = 10  # RFC 9053 section 4.2
# The beginning of the CBOR array ["Encrypt0", h'', external_aad] (section 5.4).
_ENCRYPT0: Final = b"\x83\x68Encrypt0\x40"
# The beginning of [1, [10], request_kid, request_piv, h''].
_AAD_ARRAY: Final = bytes((0x85, 0x01, 0x81, _AES_CCM_16_64_128))


class RequestIds(NamedTuple):
    """Binds a response to its request: the kid and Partial IV of the request."""

    kid: bytes
    partial_iv: bytes


class SecurityContext:
    """The keys of one endpoint, derived from the secret that both endpoints share."""

    __slots__ = (
        "_recipient",
        "_recipient_iv",
        "_sender",
        "_sender_iv",
        "recipient_id",
        "sender_id",
    )

    def __init__(
        self,
        master_secret: bytes,
        *,
        sender_id: bytes,
        recipient_id: bytes,
        master_salt: bytes = b"",
        id_context: bytes | None = None,
    ) -> None:
        """`sender_id`: of this endpoint, at most 7 bytes. Raises `ValueError` if the ids are equal
        or too long."""
        if sender_id == recipient_id or max(len(sender_id), len(recipient_id)) > ID_BYTES_MAX:
            raise ValueError("the ids must differ, and have at most 7 bytes")
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        derive = _Derivation(master_secret, master_salt, id_context)
        common_iv = int.from_bytes(derive(b"", "IV", _NONCE_BYTES), "big")
        self._sender = _cipher(derive(sender_id, "Key", _KEY_BYTES))
        self._recipient = _cipher(derive(recipient_id, "Key", _KEY_BYTES))
        self._sender_iv = common_iv ^ _nonce_start(sender_id)
        self._recipient_iv = common_iv ^ _nonce_start(recipient_id)

    def sender_nonce(self, number: int) -> bytes:
        """The nonce of a Partial IV that this endpoint has generated (section 5.2)."""
        return (self._sender_iv ^ number).to_bytes(_NONCE_BYTES, "big")

    def recipient_nonce(self, number: int) -> bytes:
        """The nonce of a Partial IV that the other endpoint has generated."""
        return (self._recipient_iv ^ number).to_bytes(_NONCE_BYTES, "big")

    def encrypt(self, plaintext: bytes, nonce: bytes, request: RequestIds) -> bytes:
        return self._sender.encrypt(nonce, plaintext, additional_data(request))

    def decrypt(self, ciphertext: bytes, nonce: bytes, request: RequestIds) -> bytes:
        """Raises `ProtocolError` if the ciphertext is not from the other endpoint."""
        if len(ciphertext) <= _TAG_BYTES:
            raise ProtocolError("the ciphertext is too short")
        try:
            return self._recipient.decrypt(nonce, ciphertext, additional_data(request))
        except InvalidTag as error:
            raise ProtocolError("decryption failed") from error


def additional_data(request: RequestIds) -> bytes:
    """The additional authenticated data (section 5.4). No option is of Class I."""
    kid, partial_iv = request
    array = (
        _AAD_ARRAY
        + bytes((0x40 | len(kid),))
        + kid
        + bytes((0x40 | len(partial_iv),))
        + partial_iv
        + b"\x40"
    )
    return _ENCRYPT0 + bytes((0x40 | len(array),)) + array


class _Derivation:
    """HKDF of one master secret (section 3.2.1)."""

    def __init__(self, secret: bytes, salt: bytes, id_context: bytes | None) -> None:
        self._secret = secret
        self._salt = salt
        self._id_context = b"\xf6" if id_context is None else _byte_string(id_context)

    def __call__(self, id_: bytes, kind: str, length: int) -> bytes:
        info = (
            b"\x85"
            + _byte_string(id_)
            + self._id_context
            + bytes((_AES_CCM_16_64_128, 0x60 | len(kind)))
            + kind.encode()
            + bytes((length,))
        )
        return HKDF(SHA256(), length, self._salt, info).derive(self._secret)


def _cipher(key: bytes) -> AESCCM:
    return AESCCM(key, tag_length=_TAG_BYTES)


def _nonce_start(id_: bytes) -> int:
    """The nonce of Partial IV 0, before the common IV is added."""
    return len(id_) << 8 * (_NONCE_BYTES - 1) | int.from_bytes(id_, "big") << (
        8 * PARTIAL_IV_BYTES_MAX
    )


def _byte_string(value: bytes) -> bytes:
    """In CBOR (RFC 8949 section 3.1)."""
    size = len(value)
    return (bytes((0x40 | size,)) if size < 24 else bytes((0x58, size))) + value
