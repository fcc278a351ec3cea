# SPDX-License-Identifier: BSD-3-Clause
"""TLS of the listeners of this process: the certificate can be read again while they run."""

import logging
from collections.abc import Sequence

from pyaiot.app.protocols import plugins
from pyaiot.config import TlsSection
from pyaiot.errors import OperatorError
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.transport.tls import ServerTls, read_certificate, utc_now

log = logging.getLogger(__name__)


class ProcessTls:
    """The certificate and key of a process. Without them, no listener uses TLS."""

    def __init__(self, section: TlsSection) -> None:
        """Load the files, and log a warning if the certificate has expired.

        Raises `OperatorError` if they cannot be used.
        """
        if section.key_file and not section.cert_file:
            raise OperatorError("A key needs a certificate: set --tls-cert, too.")
        known = ["web", "metrics", *(it.section.table for it in plugins() if it.has_tls)]
        for name in section.listeners:
            if name not in known:
                raise OperatorError(
                    f"tls.listeners: there is no TCP listener {name!r}; there are"
                    f" {', '.join(known)}."
                )
        self._section = section
        self._tls = ServerTls(section.cert_file, section.key_file) if section.cert_file else None
        if self._tls is not None:
            _warn(self._tls)

    def of(self, listener: str) -> ServerTls | None:
        """The TLS context of a listener; None if it does not use TLS."""
        return self._tls if self._section.covers(listener) else None

    def reload(self, gateways: Sequence[OpenGateway] = ()) -> None:
        """Read the files again, including those of `gateways`. Errors are logged."""
        if self._tls is not None:
            self._reload(self._tls, gateways)

    @staticmethod
    def _reload(tls: ServerTls, gateways: Sequence[OpenGateway]) -> None:
        try:
            tls.reload()
            for gateway in gateways:
                gateway.reload_tls()
        except OperatorError as error:
            log.error("the certificate is unchanged: %s", error)  # noqa: TRY400 - no traceback
            return
        certificate = read_certificate(tls.certificate_path)
        log.info("the certificate was read again; valid until %s", certificate.valid_until.date())
        _warn(tls)


def _warn(tls: ServerTls) -> None:
    certificate = read_certificate(tls.certificate_path)
    now = utc_now()
    problem = certificate.problem(now)
    if problem:
        log.warning(
            "the certificate in %s %s: clients refuse it; renew it and send SIGHUP",
            tls.certificate_path,
            problem,
        )
    elif certificate.expires_soon(now):
        log.warning(
            "the certificate in %s expires on %s: renew it and send SIGHUP",
            tls.certificate_path,
            certificate.valid_until.date(),
        )
