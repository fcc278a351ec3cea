# SPDX-License-Identifier: BSD-3-Clause
"""Certificates and keys from files, and the sentences about those that cannot be used."""

import shutil
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from pyaiot.errors import OperatorError
from pyaiot.transport.tls import ServerTls, client_context, read_certificate, utc_now
from tests.authority import Authority, certify_again, new_authority


@pytest.fixture
def made(tmp_path: Path) -> Authority:
    return new_authority(tmp_path)


def load(made: Authority, certificate: str = "server", key: str = "server") -> ServerTls:
    return ServerTls(str(made.certificate(certificate)), str(made.key(key)))


def complaint(certificate: Path, key: Path) -> str:
    with pytest.raises(OperatorError) as caught:
        ServerTls(str(certificate), str(key))
    return str(caught.value)


def test_facts_of_a_certificate_are_those_that_openssl_prints(made: Authority) -> None:
    facts = read_certificate(made.certificate("server"))
    assert facts.names == ("localhost", "pyaiot.example.org", "127.0.0.1")
    assert not facts.problem(utc_now())
    assert facts.expires_soon(utc_now())
    assert not facts.expires_soon(utc_now() - timedelta(days=14))
    openssl = shutil.which("openssl")
    if openssl is not None:
        command = (openssl, "x509", "-noout", "-fingerprint", "-sha256", "-in")
        printed = subprocess.run(
            [*command, made.certificate("server")], capture_output=True, text=True, check=True
        ).stdout
        assert printed.strip().partition("=")[2] == facts.fingerprint


def test_expired_certificate_is_loaded_and_its_problem_is_named(made: Authority) -> None:
    certify_again(made, "server", days=-2)
    load(made)
    facts = read_certificate(made.certificate("server"))
    assert facts.problem(utc_now()).startswith("expired on 20")
    assert facts.expires_soon(utc_now())
    before = utc_now() - timedelta(days=40)
    assert facts.problem(before).startswith("is not valid before 20")


def test_key_may_be_in_the_file_of_the_certificate(made: Authority) -> None:
    both = made.folder / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(made.certificate("server").read_bytes() + made.key("server").read_bytes())
    assert ServerTls(str(both)).context.get_ca_certs() == []


def test_tls_1_1_is_refused(made: Authority) -> None:
    assert load(made).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_file_that_does_not_exist_is_one_sentence(made: Authority, tmp_path: Path) -> None:
    absent = tmp_path / "absent.pem"
    assert "--tls-cert" in complaint(absent, made.key("server"))
    sentence = complaint(made.certificate("server"), absent)
    assert sentence.startswith(f"The key file {absent} cannot be read (no such file or directory)")
    assert "--tls-key" in sentence
    assert "aiot tls self-signed" in sentence


def test_key_that_every_user_can_read_is_refused_with_the_remedy(made: Authority) -> None:
    made.key("server").chmod(0o644)
    sentence = complaint(made.certificate("server"), made.key("server"))
    assert f"run chmod 600 {made.key('server')}" in sentence
    # Its own group may read it, as Debian's `ssl-cert`.
    made.key("server").chmod(0o640)
    load(made)


def test_key_of_another_certificate_is_refused(made: Authority) -> None:
    sentence = complaint(made.certificate("server"), made.key("client"))
    assert "does not belong to the certificate" in sentence


def test_swapped_files_are_named(made: Authority) -> None:
    made.certificate("server").chmod(0o600)
    sentence = complaint(made.key("server"), made.certificate("server"))
    assert "has no certificate in PEM form: set --tls-cert" in sentence
    sentence = complaint(made.certificate("server"), made.certificate("server"))
    assert "has no private key in PEM form: set --tls-key" in sentence


def test_encrypted_key_is_refused_without_a_prompt(made: Authority, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    encrypted.touch(mode=0o600)
    encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAo=\n")
    assert "openssl pkey -in" in complaint(made.certificate("server"), encrypted)


def test_key_that_is_damaged_is_one_sentence(made: Authority) -> None:
    damaged = made.key("server").read_text().splitlines()
    made.key("server").write_text("\n".join([damaged[0], damaged[2], damaged[-1], ""]))
    assert "cannot be used" in complaint(made.certificate("server"), made.key("server"))


def test_file_that_is_too_large_is_not_read(made: Authority, tmp_path: Path) -> None:
    large = tmp_path / "large.pem"
    with large.open("wb") as file:
        file.truncate(2 * 1024 * 1024)
    assert "is too large" in complaint(large, made.key("server"))


def test_reload_with_broken_files_keeps_the_certificate(made: Authority) -> None:
    tls = load(made)
    before = tls.context
    made.key("server").write_bytes(made.key("client").read_bytes())
    with pytest.raises(OperatorError, match="does not belong"):
        tls.reload()
    assert tls.context is before
    made.certificate("server").write_bytes(made.certificate("client").read_bytes())
    tls.reload()
    assert tls.context is not before


def test_client_trusts_its_file_alone(made: Authority, tmp_path: Path) -> None:
    context = client_context(str(made.ca))
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(OperatorError, match="--ca-file"):
        client_context(str(tmp_path / "absent.pem"))
    with pytest.raises(OperatorError, match="--ca-file"):
        client_context(str(made.key("server")))
