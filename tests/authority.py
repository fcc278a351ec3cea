# SPDX-License-Identifier: BSD-3-Clause
"""Certificates of an authority that is created for the test."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES: Final = ("localhost", "pyaiot.example.org")


@dataclass(frozen=True)
class Authority:
    """A certificate authority for a test: its certificates and keys as PEM files."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def new_authority(folder: Path) -> Authority:
    """It knows `server`, which is this machine's loopback, and `client`."""
    made = Authority(folder)
    root = _certify(made, "ca", None)
    _certify(made, "server", root)
    _certify(made, "client", root)
    return made


def certify_again(made: Authority, name: str, *, days: float = 1.0) -> None:
    """Replace a certificate and its key by a self-signed one that expires in `days`."""
    _certify(made, name, None, days=days)


Issuer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def _certify(made: Authority, name: str, issuer: Issuer | None, *, days: float = 1.0) -> Issuer:
    """Write the certificate and key of `name`; without an issuer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = issuer or (subject, key)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, NAMES)]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    made.certificate(name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key(name).touch(mode=0o600)
    made.key(name).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key
