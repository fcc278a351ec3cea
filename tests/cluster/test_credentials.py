# SPDX-License-Identifier: BSD-3-Clause
"""Addresses and credentials of nats-servers."""

import base64
import binascii
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pyaiot.cluster.credentials import KeyCredentials, parse_servers, read_credentials
from pyaiot.errors import OperatorError

RAW = bytes([(18 << 3) | (20 << 3 >> 5), (20 << 3 & 31) << 3]) + bytes(range(32))
SEED = base64.b32encode(RAW + binascii.crc_hqx(RAW, 0).to_bytes(2, "little")).decode().rstrip("=")


def test_servers_share_scheme_and_user() -> None:
    first, second = parse_servers("tls://me:s%40cret@a,b:4333")
    assert (first.host, first.port, first.has_tls, first.user) == ("a", 4222, True, "me")
    assert first.password == second.password == "s@cret"
    assert (second.host, second.port, second.has_tls) == ("b", 4333, True)
    assert "cret" not in f"{first} {second}"


@pytest.mark.parametrize("text", ["", ",", "http://a", "nats://", "nats://a:0x1", "nats://a/b"])
def test_addresses_that_are_not_valid_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(OperatorError, match=r"\.$"):
        parse_servers(text)


def test_more_servers_than_the_limit_are_refused() -> None:
    assert len(parse_servers(",".join(["a"] * 16))) == 16
    with pytest.raises(OperatorError, match="1 to 16"):
        parse_servers(",".join(["a"] * 17))


def test_a_key_signs_the_nonce() -> None:
    key = KeyCredentials(SEED)
    fields = key.answer("nonce")
    public = str(fields["nkey"])
    assert public.startswith("U")
    raw = base64.b32decode(public + "=" * (-len(public) % 8))
    assert binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")
    signature = base64.urlsafe_b64decode(str(fields["sig"]) + "==")
    Ed25519PublicKey.from_public_bytes(raw[1:33]).verify(signature, b"nonce")


def test_a_creds_file_has_a_jwt_and_a_seed(tmp_path: Path) -> None:
    file = tmp_path / "a.creds"
    file.write_text(f"-----BEGIN-----\neyJh.eyJi.c_-\n------\n\n-----\n{SEED}\n-----\n")
    file.chmod(0o600)
    assert read_credentials(file).answer("x")["jwt"] == "eyJh.eyJi.c_-"


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(OperatorError, match="cannot be read"):
        read_credentials(file)
    file.write_text(SEED)
    file.chmod(0o644)
    with pytest.raises(OperatorError, match="chmod 600"):
        read_credentials(file)
    file.chmod(0o600)
    file.write_text("nothing")
    with pytest.raises(OperatorError, match="no nkey seed"):
        read_credentials(file)
    wrong = SEED[:-1] + ("A" if SEED[-1] != "A" else "B")
    file.write_text(wrong)
    with pytest.raises(OperatorError, match=r"checksum|Non-base32|padding"):
        read_credentials(file)
