# SPDX-License-Identifier: BSD-3-Clause
"""`aiot device add`, `list` and `remove`: credentials of devices."""

import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import accesses, add_device
from pyaiot.cli.audit_changes import record_change
from pyaiot.cli.options import load
from pyaiot.cli.terminal import plain, print_error, print_line
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.gateways.base import device_file
from pyaiot.transport.addresses import own_address

_HINT: Final = (
    "Run it on the machine of the gateway, as the user that the gateway runs as. A running gateway"
    " applies it within a second."
)

Board = Literal["riot", "micropython", "arduino", "shell"]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file (TOML). (default: ~/.config/pyaiot/config.toml, if it exists)",
        show_default=False,
    ),
]
NameArgument = Annotated[str, typer.Argument(help="The uid of the device.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=f"Devices. {_HINT}")
    group.command("add")(add)
    group.command("list")(list_devices)
    group.command("remove")(remove)
    app.add_typer(group, name="device", help="Add and remove credentials of devices.")


def add(
    name: NameArgument,
    protocol: Annotated[
        str,
        typer.Option(
            help=f"How the device connects: {', '.join(accesses())}. Empty: the first that has"
            " credentials."
        ),
    ] = "",
    board: Annotated[
        Board | None, typer.Option(help="Print only the code for this kind of board.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address at which the device reaches this machine. Empty: detected."),
    ] = "",
    public_key: Annotated[
        str,
        typer.Option(
            metavar="HEX",
            help="Public key that the device made itself, for a protocol with key pairs."
            " Empty: make a key pair, and print the private key.",
        ),
    ] = "",
    config_file: ConfigOption = None,
) -> None:
    """Give a device a credential, and print what to paste into it. The secret is shown once."""
    config = _config(config_file)
    known = accesses()
    if not protocol:
        protocol = next((it.name for it in known.values() if it.kind), "")
    store = _store(config)
    try:
        added = add_device(
            *(store, config, name, protocol),
            host=host or own_address() or "127.0.0.1",
            now=time.time(),
            public_key=public_key,
        )
    finally:
        store.close()
    record_change("device-add", protocol, uids=(added.uid,), config=config)
    print_line(added.summary)
    for snippet in added.snippets:
        if board in (None, snippet.board):
            print_line(f"\n--- {snippet.board} ---\n{snippet.text.rstrip()}")
    if added.is_local_only:
        print_error("the gateway accepts only devices on this machine: see docs/how-to/devices.md.")


def list_devices(config_file: ConfigOption = None) -> None:
    """List the devices with credentials."""
    store = _store(_config(config_file))
    found = store.credentials()
    store.close()
    if not found:
        print_line("No device has a credential. aiot device add NAME adds one.")
    names = {access.kind: access.name for access in accesses().values()}
    devices = defaultdict(list)
    for credential in found:
        devices[credential.uid].append(credential)
    width = max(map(len, devices), default=0)
    for uid, credentials in devices.items():
        kinds = ", ".join(names.get(it.kind, plain(it.kind)) for it in credentials)
        created = max(it.created_at for it in credentials)
        date = time.strftime("%Y-%m-%d", time.localtime(created))
        print_line(f"{uid:<{width}}  {kinds}  since {date}")


def remove(
    name: NameArgument,
    protocol: Annotated[
        str, typer.Option(help="Only the credential for this protocol. Empty: all of the device.")
    ] = "",
    config_file: ConfigOption = None,
) -> None:
    """Remove the credentials of a device. A running gateway closes its sessions."""
    known = accesses()
    if protocol and protocol not in known:
        raise OperatorError(f"There is no protocol {protocol!r}: choose {', '.join(known)}.")
    config = _config(config_file)
    store = _store(config)
    try:
        removed = store.remove(name, known[protocol].kind if protocol else None)
    finally:
        store.close()
    if not removed:
        raise OperatorError(f"There is no such credential of {name!r}: see aiot device list.")
    record_change("device-remove", protocol, uids=(name,), config=config)


def _config(config_file: Path | None) -> Config:
    settings, _ = load(config_file, {})
    return settings


def _store(config: Config) -> DeviceStore:
    return DeviceStore(device_file(config.devices))
