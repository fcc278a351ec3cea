# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/commands.md, from the command line itself."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyaiot import config
from pyaiot.cli.app import program
from pyaiot.cli.options import keys_of
from scripts.reference.describe import table

PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"

INTRODUCTION: Final = """\
# Commands

<!-- Written by scripts/generate-docs from src/pyaiot/cli. -->

The commands and their flags, as in `--help`. Flags of services are [settings](settings.md): a flag
that is not given takes its value from the environment, the file or the default.

SIGINT (Ctrl+C) and SIGTERM stop every service within two seconds, with exit code 0. If the
operator has to act first (a port in use, an invalid setting, no key file), a command prints one
sentence with the remedy, and exits with code 2. Logs go to standard error.
"""


@dataclass(frozen=True, slots=True)
class Option:
    """A flag of a command."""

    names: tuple[str, ...]
    help: str
    default: str
    settings: tuple[str, ...]
    """The keys of the settings that it sets; empty if there are none."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `aiot`, with its full name."""

    name: str
    help: str
    options: tuple[Option, ...]


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    for command in commands():
        rows = [
            (" ".join(f"`{name}`" for name in option.names), _meaning(option))
            for option in command.options
        ]
        parts.append(f"## `{command.name}`\n\n{command.help}\n")
        parts.append(table(("flag", "meaning"), rows))
    parts.append(_historic())
    return "\n".join(parts)


def commands() -> Iterator[Command]:
    """Every command, including those of groups."""
    settings = frozenset(setting.key for setting in config.settings())
    yield from _commands("aiot", program(), settings)


def _commands(name: str, command: Any, settings: frozenset[str]) -> Iterator[Command]:
    # Typer has its own copy of Click, or uses the installed one: no type covers both.
    from_settings = any(parameter.name == "config_file" for parameter in command.params)
    known = settings if from_settings else frozenset()
    options = tuple(_option(parameter, known) for parameter in command.params)
    group = getattr(command, "commands", {})
    if options or not group:
        yield Command(name, command.help, options)
    for child, inner in group.items():
        yield from _commands(f"{name} {child}", inner, settings)


def _option(parameter: Any, known: frozenset[str]) -> Option:
    keys = keys_of(parameter.name)
    # The help of most flags already has their default.
    is_shown = parameter.default in (None, False) or "(default: " in parameter.help
    default = "" if is_shown else str(parameter.default)
    settings = tuple(keys) if keys[0] in known else ()
    is_argument = not parameter.opts[0].startswith("-")
    names = (parameter.metavar,) if is_argument and parameter.metavar else tuple(parameter.opts)
    return Option(names, parameter.help, default, settings)


def _meaning(option: Option) -> str:
    default = f" (default: {option.default})" if option.default else ""
    names = " and ".join(f"`{key}`" for key in option.settings)
    setting = f" Setting {names}." if names else ""
    return option.help + default + setting


def _historic() -> str:
    scripts = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["scripts"]
    rows = [
        (f"`{name}`", f"`{name.replace('-', ' ', 1)}`")
        for name in scripts
        if name.startswith("aiot-")
    ]
    return "## Historic names\n\nThe commands of earlier versions, with their flags.\n\n" + table(
        ("name", "the same as"), rows
    )
