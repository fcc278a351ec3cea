# SPDX-License-Identifier: BSD-3-Clause
"""`aiot tls`: a certificate for this machine, and fingerprints."""

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from pyaiot.cli.tls import fingerprint, self_signed
from pyaiot.errors import OperatorError
from pyaiot.transport.self_signed import DAYS_MAX, names_of_this_machine, write_self_signed
from pyaiot.transport.tls import ServerTls, client_context, read_certificate, utc_now


def test_certificate_has_the_names_and_addresses_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    self_signed(str(tmp_path / "tls"), ["pi.example", "192.0.2.7"])
    facts = read_certificate(tmp_path / "tls" / "cert.pem")
    assert {"pi.example", "192.0.2.7", *names_of_this_machine()} == set(facts.names)
    assert {"localhost", "127.0.0.1", "::1"} <= set(facts.names)
    assert 728 <= (facts.valid_until - utc_now()).days <= 730
    printed = capsys.readouterr().out
    assert f"SHA-256 fingerprint: {facts.fingerprint}\n" in printed
    assert re.search(r"aiot run --host :: --tls-cert \S+/cert.pem --tls-key \S+/key.pem", printed)
    assert "PRIVATE" not in printed
    ServerTls(str(tmp_path / "tls" / "cert.pem"), str(tmp_path / "tls" / "key.pem"))


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    write_self_signed(tmp_path / "a" / "tls", ["pi.lan"], days=1)
    assert (tmp_path / "a" / "tls").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in (tmp_path / "a" / "tls").iterdir()} == {"cert.pem", "key.pem"}
    for path in (tmp_path / "a" / "tls").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_files_that_exist_are_replaced_only_with_force(tmp_path: Path) -> None:
    first = write_self_signed(tmp_path, ["pi.lan"], days=1)
    with pytest.raises(OperatorError, match=r"exists: set --force to replace it"):
        write_self_signed(tmp_path, ["pi.lan"], days=1)
    assert read_certificate(first.certificate_file) == first.certificate
    again = write_self_signed(tmp_path, ["pi.lan"], days=1, force=True)
    assert again.certificate.fingerprint != first.certificate.fingerprint
    assert read_certificate(first.certificate_file) == again.certificate


@pytest.mark.parametrize("name", ["", "a b", "pi/lan", "é.lan", "a\nb"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperatorError, match="is not a host name or address"):
        write_self_signed(tmp_path, ["pi.lan", name], days=1)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="--folder"):
        write_self_signed(tmp_path / "file" / "tls", ["pi.lan"], days=1)


def test_openssl_accepts_it_for_its_names_and_under_strict_rules(tmp_path: Path) -> None:
    made = write_self_signed(tmp_path, ["pi.lan", "192.0.2.7"], days=DAYS_MAX)
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed (apt install openssl)")
    for flags in (
        ("-verify_hostname", "pi.lan"),
        ("-verify_ip", "192.0.2.7"),
        ("-x509_strict", "-purpose", "sslserver"),
    ):
        command = [openssl, "verify", "-CAfile", made.certificate_file, *flags]
        result = subprocess.run(
            [*command, made.certificate_file], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


def test_python_trusts_it_as_its_own_authority(tmp_path: Path) -> None:
    made = write_self_signed(tmp_path, ["localhost"], days=1)
    server = ServerTls(str(made.certificate_file), str(made.key_file)).context
    client = client_context(str(made.certificate_file))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
    ends = [(ssl.MemoryBIO(), ssl.MemoryBIO())]
    to_server, to_client = ends[0]
    one = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert one.version() == "TLSv1.3"


def test_fingerprint_of_a_file_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_self_signed(tmp_path, ["pi.lan"], days=3)
    fingerprint(str(made.certificate_file))
    printed = capsys.readouterr().out
    assert "Names: pi.lan\n" in printed
    assert made.certificate.fingerprint in printed
    with pytest.raises(OperatorError, match="--save needs the URL"):
        fingerprint(str(made.certificate_file), save=str(tmp_path / "copy.pem"))


def test_fingerprint_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="write https://"):
        fingerprint("http://127.0.0.1:1")
    with pytest.raises(OperatorError, match=r"shows no certificate \(connection refused\)"):
        fingerprint("https://127.0.0.1:1")
    with pytest.raises(OperatorError, match="cannot be read"):
        fingerprint(str(tmp_path / "absent.pem"))
