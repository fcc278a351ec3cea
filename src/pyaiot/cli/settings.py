# SPDX-License-Identifier: BSD-3-Clause
"""Commands about settings: `aiot generate-keys` and `aiot config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pyaiot import config
from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.cli.options import load
from pyaiot.cli.terminal import print_line
from pyaiot.config import Config
from pyaiot.redaction import redact_value


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("generate-keys")(_generate_keys)
    app.command(
        "config",
        short_help="Check the settings in file and environment, or show each with its origin.",
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

    It is needed only for gateways in processes of their own.
    """
    from pyaiot.broker.keys import generate_keys, write_keys  # noqa: PLC0415 - cryptography

    path = Path(key_file).expanduser()
    if if_missing and path.exists():
        print_line(f"The keys in {path} stay as they are.")
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
) -> None:
    """Check the settings in file and environment, or show each with its origin.

    A flag overrides the environment, and the environment overrides the file.
    """
    settings, origins = load(config_file, {})
    if show:
        _show(settings, origins)
    else:
        print_line("The settings are valid. aiot config --show prints them.")


def _show(settings: Config, origins: Mapping[str, str]) -> None:
    values = {setting.key: setting for setting in config.settings()}
    width = max(map(len, values))
    for key, setting in values.items():
        shown = msgspec.json.encode(redact_value(settings.value(setting))).decode()
        print_line(f"{key:<{width}}  {shown:<24}  {origins[key]}")
