# SPDX-License-Identifier: BSD-3-Clause
"""What the doctor finds about the certificate of the services."""

from pathlib import Path

import pytest

from pyaiot.config import TlsSection
from pyaiot.doctor import certificate
from pyaiot.doctor.findings import Finding
from tests.authority import Authority, certify_again, new_authority


@pytest.fixture
def made(tmp_path: Path) -> Authority:
    return new_authority(tmp_path)


def found(made: Authority, key: str = "server") -> Finding:
    section = TlsSection(cert_file=str(made.certificate("server")), key_file=str(made.key(key)))
    (finding,) = certificate.check(section)
    assert (finding.area, finding.subject) == ("settings", "certificate")
    return finding


def test_without_a_certificate_there_is_no_finding() -> None:
    assert list(certificate.check(TlsSection())) == []


def test_certificate_that_is_valid_is_ok(made: Authority) -> None:
    certify_again(made, "server", days=90)
    finding = found(made)
    assert finding.verdict == "ok"
    assert "valid for 89 days" in finding.text


def test_certificate_that_expires_soon_is_a_note(made: Authority) -> None:
    finding = found(made)
    assert finding.verdict == "note"
    assert "SIGHUP" in finding.action


def test_expired_certificate_is_a_problem(made: Authority) -> None:
    certify_again(made, "server", days=-1)
    assert found(made).verdict == "wrong"


def test_key_that_every_user_can_read_is_a_problem_with_its_remedy(made: Authority) -> None:
    made.key("server").chmod(0o604)
    finding = found(made)
    assert finding.verdict == "wrong"
    assert finding.action == f"run chmod 600 {made.key('server')}"


def test_key_of_another_certificate_is_a_problem(made: Authority) -> None:
    finding = found(made, key="client")
    assert finding.verdict == "wrong"
    assert "does not belong" in finding.text


def test_file_that_is_missing_is_a_problem(made: Authority) -> None:
    made.certificate("server").unlink()
    finding = found(made)
    assert finding.verdict == "wrong"
    assert "--tls-cert" in finding.action
