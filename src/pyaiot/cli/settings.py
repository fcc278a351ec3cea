# SPDX-License-Identifier: BSD-3-Clause
"""Commands about settings: `aiot generate-keys` and `aiot config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from pyaiot import config
from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.cli.options import load
from pyaiot.cli.terminal import plain, print_error, print_line
from pyaiot.config import Config
from pyaiot.errors import OperatorError, ProtocolError, reason_of
from pyaiot.redaction import redact_value


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("generate-keys")(_generate_keys)
    app.command(
        "config",
        short_help="Check settings, show each with its origin, or import older ones.",
    )(_config)


def _generate_keys(
    key_file: Annotated[
        str, typer.Option("--key-file", help="Path of the key file.")
    ] = config.KEY_FILE,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing keys. All gateways need the new ones.")
    ] = False,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Keep existing keys, and succeed.")
    ] = False,
) -> None:
    """Write the key file that broker and gateways share. Only its owner can read it.

    It is needed only for gateways in separate processes.
    """
    from pyaiot.broker.keys import generate_keys, write_keys  # noqa: PLC0415 - cryptography

    path = Path(key_file).expanduser()
    if if_missing and path.exists():
        print_line(f"The keys in {path} are unchanged.")
        return
    write_keys(path, generate_keys(), replace=force)
    print_line(f"Keys written to {path}. Copy this file to the machines of the gateways.")


def _config(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)
    ] = None,
    *,
    show: Annotated[
        bool, typer.Option("--show", help="Print every setting with its value and origin.")
    ] = False,
    older: Annotated[
        Path | None,
        typer.Option(
            "--import",
            help="Print a Python settings file of the older system (config.py) as TOML. It is read,"
            " not run.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check the settings in file and environment, or show each with its origin.

    A flag overrides the environment, and the environment overrides the file.
    """
    if older is not None:
        _import(older)
        return
    settings, origins = load(config_file, {})
    if show:
        _show(settings, origins)
    else:
        print_line("The settings are valid. aiot config --show prints them.")


def _import(path: Path) -> None:
    """Print an older settings file as TOML, and what has no counterpart to standard error."""
    from pyaiot.config.python_file import import_python  # noqa: PLC0415 - rarely used
    from pyaiot.config.toml_text import toml_text  # noqa: PLC0415 - rarely used

    try:
        imported = import_python(path.read_bytes())
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {reason_of(error)}.") from error
    except ProtocolError as error:
        raise OperatorError(f"{path} cannot be imported: {error}.") from error
    known = {setting.key: setting for setting in config.settings()}
    values: dict[str, Any] = {}
    for key, value in imported.values.items():
        try:
            values[key] = config.convert(value, known[key], str(path))
        except OperatorError as error:
            imported.notes.append(str(error).removeprefix(f"{path}: "))
    print_line(f"# From {plain(str(path))}, by aiot config --import.\n{toml_text(values)}".rstrip())
    for note in imported.notes:
        print_error(f"{path}: {plain(note)}")


def _show(settings: Config, origins: Mapping[str, str]) -> None:
    values = {setting.key: setting for setting in config.settings()}
    width = max(map(len, values))
    for key, setting in values.items():
        shown = msgspec.json.encode(redact_value(settings.value(setting))).decode()
        print_line(f"{key:<{width}}  {shown:<24}  {origins[key]}")
