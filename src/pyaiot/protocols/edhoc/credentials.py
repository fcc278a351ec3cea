# SPDX-License-Identifier: BSD-3-Clause
"""Key pairs on P-256, and the credentials with their public keys. Pure.

A credential is a CWT Claims Set (RFC 8392) with a COSE key (RFC 9528 section 3.5.2). Its bytes are
authenticated and must be equal at both endpoints, so there is only one encoding.
"""

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_PRIVATE_KEY_SIZE: Final = 32
_PUBLIC_KEY_SIZE: Final = 64  # x and y
_KEY_ID_SIZE: Final = 8
GATEWAY_NAME: Final = "pyaiot"
"""The subject of the credential of each gateway."""
GATEWAY_KEY_ID: Final = b"\x00"
"""The key identifier of each gateway: one byte, because each second message contains it."""
_UNCOMPRESSED: Final = b"\x04"


def new_private_key() -> bytes:
    """A new private key: its 32 bytes, big-endian."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_numbers().private_value.to_bytes(_PRIVATE_KEY_SIZE, "big")


def public_key_of(private_key: bytes) -> bytes:
    """The public key of a private key of 32 bytes. Raises `ValueError` for an invalid key."""
    if len(private_key) != _PRIVATE_KEY_SIZE:
        raise ValueError("a private key has 32 bytes")
    key = ec.derive_private_key(int.from_bytes(private_key, "big"), ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return point.removeprefix(_UNCOMPRESSED)


def read_public_key(point: bytes) -> bytes:
    """The public key of a point in the form of X9.62 (compressed or not), or of its two
    coordinates. Raises `ValueError` for bytes that are not a point of the curve."""
    if len(point) == _PUBLIC_KEY_SIZE:
        point = _UNCOMPRESSED + point
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    whole = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return whole.removeprefix(_UNCOMPRESSED)


def check_share(x: bytes) -> None:
    """Raise `ValueError` if no point of the curve has this x coordinate of 32 bytes."""
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + x)


def key_id_of(name: str) -> bytes:
    """The key identifier of a device. It is derived from the name, so it need not be stored."""
    return hashlib.sha256(name.encode()).digest()[:_KEY_ID_SIZE]


def credential(name: str, key_id: bytes, public_key: bytes) -> bytes:
    """The CWT Claims Set `{2: name, 8: {1: COSE key}}` of a public key of 64 bytes, in
    deterministic CBOR (RFC 8949 section 4.2.1). `name` has at most 255 bytes, `key_id` at most 23.
    """
    text = name.encode()
    x, y = public_key[: _PUBLIC_KEY_SIZE // 2], public_key[_PUBLIC_KEY_SIZE // 2 :]
    return (
        b"\xa2\x02"
        + _head(0x60, len(text))
        + text
        # 8 (cnf): {1 (COSE key): {1 (kty): 2, 2 (kid): ..., -1 (crv): 1, -2: x, -3: y}}
        + b"\x08\xa1\x01\xa5\x01\x02\x02"
        + _head(0x40, len(key_id))
        + key_id
        + b"\x20\x01\x21\x58\x20"
        + x
        + b"\x22\x58\x20"
        + y
    )


def gateway_credential(public_key: bytes) -> bytes:
    """The credential of a gateway. Each of its devices must have it."""
    return credential(GATEWAY_NAME, GATEWAY_KEY_ID, public_key)


def device_credential(uid: str, public_key: bytes) -> bytes:
    """The credential of a device. The device must use it unchanged."""
    return credential(uid, key_id_of(uid), public_key)


def reference(key_id: bytes) -> bytes:
    """A reference to the credential by its key identifier: `{4: key_id}`."""
    return b"\xa1\x04" + _head(0x40, len(key_id)) + key_id


def by_value(its_credential: bytes) -> bytes:
    """The credential by value: `{14: credential}` (section 10.6)."""
    return b"\xa1\x0e" + its_credential


def _head(major: int, length: int) -> bytes:
    return bytes((major | length,)) if length < 24 else bytes((major | 24, length))
