# SPDX-License-Identifier: BSD-3-Clause
"""The certificate and key of TLS listeners, and what TLS clients trust."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from pyaiot.errors import OperatorError, reason_of

if TYPE_CHECKING:
    from cryptography import x509

EXPIRES_SOON: Final = timedelta(days=14)
"""A certificate that expires within this time should be renewed."""
PEM_SIZE_MAX: Final = 1024 * 1024
"""Bytes of a file with certificates or a key. Larger: refused."""
_PURPOSE: Final = {"certificate": "--tls-cert", "key": "--tls-key"}


class Certificate(msgspec.Struct, frozen=True):
    """Facts about the first certificate of a file."""

    names: tuple[str, ...]
    """DNS names and addresses that it is valid for (subjectAltName, RFC 5280 section 4.2.1.6)."""
    valid_from: datetime
    valid_until: datetime
    """Both in UTC."""
    fingerprint: str
    """SHA-256 of its DER form: 32 bytes in hexadecimal, separated by colons."""

    def problem(self, now: datetime) -> str:
        """Why clients refuse it because of its dates; empty if they do not."""
        if now >= self.valid_until:
            return f"expired on {self.valid_until:%Y-%m-%d}"
        if now < self.valid_from:
            return f"is not valid before {self.valid_from:%Y-%m-%d %H:%M} UTC"
        return ""

    def expires_soon(self, now: datetime) -> bool:
        """Whether it expires within `EXPIRES_SOON`, or has expired."""
        return now + EXPIRES_SOON >= self.valid_until


class ServerTls:
    """TLS 1.2 and newer with a certificate and key from files, which can be reloaded."""

    def __init__(self, certificate_file: str, key_file: str = "") -> None:
        """Load the files. `key_file` empty: the key is in `certificate_file`.

        Raises `OperatorError` if they cannot be used.
        """
        self.certificate_path = Path(certificate_file).expanduser()
        self.key_path = Path(key_file).expanduser() if key_file else self.certificate_path
        self.context = self._load()
        """The context for the next connection. Connections keep the one that they began with."""

    def reload(self) -> None:
        """Load the files again, for new connections.

        Raises `OperatorError` if they cannot be used: the certificate then does not change.
        """
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        read_certificate(self.certificate_path)
        key = _read(self.key_path, "key")
        if self.key_path.stat().st_mode & 0o007:
            raise OperatorError(
                f"Every user can read the key file {self.key_path}: run chmod 600 {self.key_path}."
            )
        if b"PRIVATE KEY-----" not in key:
            raise OperatorError(
                f"The file {self.key_path} has no private key in PEM form: set --tls-key to the"
                " file that has it."
            )
        if b"ENCRYPTED" in key:
            raise OperatorError(
                f"The key in {self.key_path} is encrypted: write it without a passphrase, with"
                f" openssl pkey -in {self.key_path} -out NEW_FILE."
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate_path, self.key_path)
        except OSError as error:
            if "MISMATCH" in (getattr(error, "reason", None) or ""):
                raise OperatorError(
                    f"The key in {self.key_path} does not belong to the certificate in"
                    f" {self.certificate_path}: set --tls-cert and --tls-key to a pair that was"
                    " made together."
                ) from error
            raise OperatorError(
                f"The certificate in {self.certificate_path} and the key in {self.key_path} cannot"
                f" be used: {reason_of(error)}."
            ) from error
        return context


def read_certificate(path: Path) -> Certificate:
    """The facts about the certificate in a PEM file. Raises `OperatorError`."""
    # Imported where TLS is used: it loads a native library.
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415

    pem = _read(path, "certificate")
    try:
        # Only the first one is that of the server; the others are its authorities.
        return certificate_of(load_pem_x509_certificates(pem)[0])
    except ValueError as error:
        raise OperatorError(
            f"The file {path} has no certificate in PEM form: set --tls-cert to the file that has"
            " it, or make one with aiot tls self-signed."
        ) from error


def certificate_of(certificate: "x509.Certificate") -> Certificate:
    """The facts about a certificate. Raises `ValueError` if its names are invalid."""
    from cryptography import x509  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    names: list[str] = []
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        names += extension.value.get_values_for_type(x509.DNSName)
        names += map(str, extension.value.get_values_for_type(x509.IPAddress))
    return Certificate(
        tuple(names),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def client_context(ca_file: str = "") -> ssl.SSLContext:
    """What a client trusts: only the certificates in `ca_file`, or, if it is empty, the system's.

    A self-signed certificate of a server is trusted if it is in the file. Raises `OperatorError`.
    """
    path = Path(ca_file).expanduser() if ca_file else None
    try:
        context = ssl.create_default_context(cafile=path)
    except OSError as error:
        raise OperatorError(
            f"The CA file {path} cannot be used ({reason_of(error)}): set --ca-file to a file with"
            " certificates in PEM form."
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class PinnedTrust:
    """A client's trust in the one certificate of a server of this machine, until a reload.

    Its dates and names are not compared: its key identifies the server.
    """

    _PARTIAL_CHAIN: Final = 0x80000
    _NO_CHECK_TIME: Final = 0x200000
    """X509_V_FLAG_PARTIAL_CHAIN and X509_V_FLAG_NO_CHECK_TIME of OpenSSL."""

    def __init__(self, certificate_file: str) -> None:
        """Raises `OperatorError` if the file cannot be read."""
        self._path = Path(certificate_file).expanduser()
        self.context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.check_hostname = False
        self.context.verify_flags |= self._PARTIAL_CHAIN | self._NO_CHECK_TIME
        self.reload()

    def reload(self) -> None:
        """Trust the certificate that is in the file now, too. Raises `OperatorError`."""
        pem = _read(self._path, "certificate")
        end = b"-----END CERTIFICATE-----"
        # An authority that follows in the file is not trusted: it certifies other servers.
        first = pem[: pem.find(end) + len(end)].decode("ascii", "ignore")
        try:
            self.context.load_verify_locations(cadata=first)
        except (OSError, ValueError) as error:
            raise OperatorError(f"The file {self._path} has no certificate.") from error


def utc_now() -> datetime:
    """Calendar time, with which the dates of certificates are compared."""
    return datetime.now(UTC)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= PEM_SIZE_MAX:
                return file.read(PEM_SIZE_MAX)
    except OSError as error:
        raise OperatorError(
            f"The {what} file {path} cannot be read ({reason_of(error).lower()}): set"
            f" {_PURPOSE[what]} to a file that this user can read, or make one with aiot tls"
            " self-signed."
        ) from error
    raise OperatorError(
        f"The {what} file {path} is too large: set {_PURPOSE[what]} to a file in PEM form."
    )
