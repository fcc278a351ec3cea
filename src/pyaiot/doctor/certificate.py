# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the certificate of the TLS listeners."""

from collections.abc import Iterator

from pyaiot.config import TlsSection
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding
from pyaiot.errors import OperatorError
from pyaiot.transport.tls import ServerTls, read_certificate, utc_now


def check(section: TlsSection) -> Iterator[Finding]:
    """Check that the files can be used together, and the dates of the certificate.

    Without a certificate there is no finding.
    """
    if not section.cert_file:
        return
    try:
        tls = ServerTls(section.cert_file, section.key_file)
        certificate = read_certificate(tls.certificate_path)
    except OperatorError as error:
        # The remedy is between the last colon and the end.
        text, _, action = str(error).rstrip(".").rpartition(": ")
        yield Finding("settings", "certificate", "wrong", text, action)
        return
    yield findings.certificate(str(tls.certificate_path), certificate, utc_now())
