# SPDX-License-Identifier: BSD-3-Clause
"""The public key of an Ed25519 private key (RFC 8032). Pure.

For services that need a key pair at start and may never sign: the package that signs takes 8 MB of
memory. Nothing is signed or verified here.
"""

import hashlib
from typing import Final

KEY_SIZE: Final = 32
"""Bytes of a private and of a public key."""

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_BASE_X: Final = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y: Final = 4 * pow(5, -1, _P) % _P
_Point = tuple[int, int, int, int]
"""Extended homogeneous coordinates X, Y, Z, T (section 5.1.4)."""
_BASE: Final[_Point] = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def public_key(private_key: bytes) -> bytes:
    """The public key of 32 random bytes (section 5.1.5). Takes some milliseconds.

    The time depends on the private key: call it once for each key, not at the request of a peer.
    Raises `ValueError` for a key of another size.
    """
    if len(private_key) != KEY_SIZE:
        raise ValueError(f"a private key has {KEY_SIZE} bytes")
    scalar = int.from_bytes(hashlib.sha512(private_key).digest()[:KEY_SIZE], "little")
    scalar &= 2**254 - 8
    scalar |= 2**254
    point = _NEUTRAL
    for bit in f"{scalar:b}":
        point = _add(point, point)
        if bit == "1":
            point = _add(point, _BASE)
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(KEY_SIZE, "little")


def _add(first: _Point, second: _Point) -> _Point:
    """The sum of two points, which may be equal (section 5.1.4)."""
    x1, y1, z1, t1 = first
    x2, y2, z2, t2 = second
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * _D * t1 * t2 % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P
