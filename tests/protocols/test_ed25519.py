# SPDX-License-Identifier: BSD-3-Clause
"""Public keys of Ed25519, against the vectors of RFC 8032 and another implementation."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.protocols.ed25519 import KEY_SIZE, public_key


@pytest.mark.parametrize(
    ("private", "public"),
    [
        # RFC 8032 section 7.1, tests 1 to 3.
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ),
    ],
)
def test_public_keys_of_rfc_8032(private: str, public: str) -> None:
    assert public_key(bytes.fromhex(private)).hex() == public


@given(st.binary(min_size=KEY_SIZE, max_size=KEY_SIZE))
def test_public_key_is_that_of_the_package_that_signs(private: bytes) -> None:
    expected = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    assert public_key(private) == expected


@pytest.mark.parametrize("size", [0, 31, 33])
def test_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        public_key(bytes(size))
