# SPDX-License-Identifier: BSD-3-Clause
"""Makes a self-signed certificate and its key for the names and addresses of this machine."""

import contextlib
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.addresses import LOOPBACK, interface_addresses, own_address
from pyaiot.transport.tls import Certificate, certificate_of, utc_now

DAYS_MAX: Final = 825
"""Days for which a certificate may be valid: Apple's systems refuse more."""
CLOCKS_DIFFER: Final = timedelta(hours=1)
"""The certificate is valid from this time ago: the clocks of boards may be behind."""
_COMMON_NAME_LENGTH_MAX: Final = 64


class SelfSigned(msgspec.Struct, frozen=True):
    """The files that were written, and the facts about the certificate."""

    certificate_file: Path
    key_file: Path
    certificate: Certificate


def names_of_this_machine() -> list[str]:
    """Its host name, also below `.local` (mDNS), localhost, and its addresses."""
    host = socket.gethostname().rstrip(".").lower()
    names = [host, f"{host.partition('.')[0]}.local"] if host else []
    addresses = filter(None, (own_address(), *interface_addresses()))
    return list(dict.fromkeys([*names, "localhost", *addresses, *LOOPBACK]))


def write_self_signed(
    folder: Path, names: Iterable[str], *, days: int, force: bool = False
) -> SelfSigned:
    """Write `cert.pem` and `key.pem` into a folder. Only their owner can read them.

    `names`: DNS names and addresses. `days`: at most `DAYS_MAX`. With `force`, files that exist are
    replaced. Raises `OperatorError`: there are files already, a name is invalid, or they cannot be
    written.
    """
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    existing = [path for path in (certificate_file, key_file) if path.exists()]
    if existing and not force:
        raise OperatorError(
            f"The file {existing[0]} exists: set --force to replace it, or --folder to write to"
            " another folder."
        )
    certificate, key = _sign(list(names), days)
    pem = serialization.Encoding.PEM
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The key first: a service would not start with the certificate alone.
        _write(
            key_file,
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )
        _write(certificate_file, certificate.public_bytes(pem))
    except OSError as error:
        raise OperatorError(
            f"The folder {folder} cannot be written to ({reason_of(error).lower()}): set --folder"
            " to another one."
        ) from error
    return SelfSigned(certificate_file, key_file, certificate_of(certificate))


def _sign(names: list[str], days: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_COMMON_NAME_LENGTH_MAX])]
    )
    now = utc_now()
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=False,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
        # It cannot certify other servers, even if people trust it.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    # Names with other characters are written with the prefix xn-- (RFC 5890).
    if not text.isascii() or not text.replace("-", "").replace(".", "").replace("*", "").isalnum():
        raise OperatorError(f"{text!r} is not a host name or address: write pi.lan or 192.0.2.1.")
    return x509.DNSName(text)


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in place of one of this name. Raises `OSError`."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
