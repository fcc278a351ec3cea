# SPDX-License-Identifier: BSD-3-Clause
"""`aiot tls`: certificates for services, and the certificates that services show."""

import os
import ssl
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from pyaiot.cli.options import summary
from pyaiot.cli.terminal import print_line
from pyaiot.client.address import BrokerAddress
from pyaiot.config import data_folder
from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.tls import Certificate, read_certificate, utc_now

DAYS: Final = 730
"""Days for which a certificate is valid, unless the command line names others."""
CONNECT_LIMIT_S: Final = 10.0
"""Time for a server to show its certificate. Then the command fails."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("self-signed", short_help=summary(self_signed.__doc__))(self_signed)
    group.command("fingerprint")(fingerprint)
    app.add_typer(group, name="tls", help="Make certificates for TLS, and show their fingerprints.")


def self_signed(
    folder: Annotated[
        str, typer.Option(help="Where to write cert.pem and key.pem. Empty: in the data folder.")
    ] = "",
    name: Annotated[
        list[str] | None,
        typer.Option(help="Another host name or address of this machine. May be repeated."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=825, help="Days for which the certificate is valid.")
    ] = DAYS,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Make a certificate and its key for the names and addresses of this machine.

    Browsers and programs trust it only after somebody has compared the fingerprint.
    """
    # Imported when it is used: it loads a native library.
    from pyaiot.transport.self_signed import (  # noqa: PLC0415
        names_of_this_machine,
        write_self_signed,
    )

    names = list(dict.fromkeys([*(name or ()), *names_of_this_machine()]))
    target = Path(folder).expanduser() if folder else data_folder(os.environ) / "tls"
    made = write_self_signed(target, names, days=days, force=force)
    print_line(f"Certificate: {made.certificate_file}")
    print_line(f"Key: {made.key_file} (only you can read it)")
    _print(made.certificate)
    print_line(
        "Start a service with it, or send SIGHUP to one that has it:\n"
        f"  aiot run --host :: --tls-cert {made.certificate_file} --tls-key {made.key_file}\n"
        "Browsers show a warning once: compare the fingerprint there. Programs on other machines\n"
        "get a copy of the certificate, never of the key: aiot nodes --ca-file cert.pem"
    )


def fingerprint(
    source: Annotated[
        str, typer.Argument(help="File with a certificate, or the URL of a broker: https://host.")
    ],
    save: Annotated[
        str, typer.Option(help="Write the certificate to this file, for --ca-file.")
    ] = "",
) -> None:
    """Print the names and the fingerprint of a certificate.

    Before you trust it, compare the fingerprint with the one shown on the broker's machine.
    """
    if "://" not in source:
        path = Path(source).expanduser()
        pem, certificate = "", read_certificate(path)
    else:
        address = BrokerAddress.from_url(source)
        if not address.ssl:
            raise OperatorError(f"{source} has no certificate: write https://.")
        pem = _shown_by(address)
        certificate = _facts(pem)
    _print(certificate)
    if save:
        if not pem:
            raise OperatorError("--save needs the URL of a broker in place of a file.")
        _save(Path(save).expanduser(), pem)


def _shown_by(address: BrokerAddress) -> str:
    """The certificate that a server shows, as PEM. Nothing is trusted."""
    try:
        return ssl.get_server_certificate((address.host, address.port), timeout=CONNECT_LIMIT_S)
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", "") or reason_of(error))
        raise OperatorError(
            f"{address} shows no certificate ({reason.lower().replace('_', ' ')}): start a service"
            " with --tls-cert there, or correct the address."
        ) from error


def _facts(pem: str) -> Certificate:
    with tempfile.TemporaryDirectory(prefix="pyaiot-") as folder:
        path = Path(folder) / "shown.pem"
        path.write_text(pem, encoding="ascii")
        return read_certificate(path)


def _print(certificate: Certificate) -> None:
    problem = certificate.problem(utc_now())
    until = f"{certificate.valid_until:%Y-%m-%d}"
    print_line(f"Names: {', '.join(certificate.names) or 'none'}")
    print_line(f"Valid until: {until}{f' ({problem})' if problem else ''}")
    print_line(f"SHA-256 fingerprint: {certificate.fingerprint}")


def _save(path: Path, pem: str) -> None:
    try:
        path.write_text(pem, encoding="ascii")
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {reason_of(error).lower()}.") from error
