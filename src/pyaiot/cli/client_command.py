# SPDX-License-Identifier: BSD-3-Clause
"""How a command becomes a client of a broker: its connection, its flags and its exit code.

Each command has the flag `--json` and the flags of the connection.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import typer
from typer.core import TyperCommand

from pyaiot import config
from pyaiot.app.runner import run_until_signal
from pyaiot.cli.options import CONFIG_OPTION, load, option, summary, with_options
from pyaiot.cli.terminal import EXIT_NO, EXIT_OPERATOR, Paint, plain, print_error
from pyaiot.client import ApiProblem, Behind, Client, LinkLost
from pyaiot.config import Config, SettingFlag
from pyaiot.errors import ProtocolError

NEGATIVE_RESULTS: Final = frozenset({"unknown-node", "online", "edited-meanwhile"})
"""Kinds of problems that are a negative result: nothing is wrong with the command line."""


class Options(msgspec.Struct, frozen=True):
    """How a command connects to the broker, and how it prints."""

    connection: dict[str, Any]
    """Arguments of a `Client`."""
    json: bool
    paint: Paint

    def client(self, **more: Any) -> Client:
        return Client(**self.connection, **more, tell=print_error)


CommandFunction: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
"""Takes `Options` and the arguments of the command, and returns the exit code."""

_BROKER: Final = (
    SettingFlag(("--broker-host",), "client.broker_host"),
    SettingFlag(("--broker-port",), "client.broker_port"),
    SettingFlag(("--broker-ssl",), "client.broker_ssl"),
    SettingFlag(("--ca-file",), "client.ca_file"),
    SettingFlag(("--debug",), "log.debug"),
)


def flag(name: str, kind: Any, text: str, *names: str, default: Any = None, **more: Any) -> Any:
    """The parameter of a flag; `names` if they are not `--name`."""
    shown = "" if default in (None, "") or isinstance(default, bool) else f" (default: {default})"
    names = names or ("--" + name.replace("_", "-"),)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            kind, typer.Option(*names, help=text + shown, show_default=False, **more)
        ],
        default=default,
    )


def argument(
    name: str, text: str, *, needed: bool = True, kind: Any = str, metavar: str | None = None
) -> inspect.Parameter:
    """The parameter of a word without a flag."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            kind if needed else kind | None,
            typer.Argument(help=text, show_default=False, metavar=metavar),
        ],
        default=inspect.Parameter.empty if needed else None,
    )


NODE: Final = argument("node", "The node, by its uid or its label.")
RESOURCE: Final = argument("resource", "The resource.")
_SIGN_IN: Final = flag(
    "login_link",
    str,
    "The sign-in link that the broker printed at its start, if the broker requires one. It works"
    " once, and the session lasts a week.",
    default="",
)
_JSON: Final = flag("json", bool, "Print JSON, for programs.", "--json", default=False)


class _ClientCommand(TyperCommand):
    """A word such as `-5` or `-0.5` is a value, not a flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value = {
            name for it in self.params if not getattr(it, "is_flag", True) for name in it.opts
        }
        flags, values = list[str](), list[str]()
        rest = iter(args)
        for word in rest:
            if word == "--":
                values += rest
            elif not word.startswith("-") or word == "-" or re.match(r"-\.?\d", word):
                values.append(word)
            else:
                flags.append(word)
                if word in takes_value:
                    flags += [value for value in [next(rest, None)] if value is not None]
        is_negative = any(re.match(r"-\.?\d", word) for word in values)
        return super().parse_args(ctx, [*flags, "--", *values] if is_negative else args)


def add_command(
    app: typer.Typer,
    name: str,
    run: CommandFunction,
    *extra: inspect.Parameter,
    ends_by_signal: bool = False,
    short_lived: bool = False,
    cls: type[TyperCommand] = _ClientCommand,
) -> None:
    """Register a command whose help is the docstring of `run`.

    `short_lived`: it transfers little, so that the time to start matters. `cls`: its Click class.
    """
    known = {setting.key: setting for setting in config.settings()}

    def command(
        config_file: Path | None = None, *, login_link: str, json: bool, **given: Any
    ) -> None:
        arguments = {item.name: given.pop(item.name) for item in extra}
        settings, origins = load(config_file, given)
        connection = _connection(settings, origins, login_link)
        work = run(Options(connection, json, Paint(sys.stdout)), **arguments)
        code = run_until_signal(_exit_code(work), settings.log, quiet=True, short_lived=short_lived)
        if code is None:
            code = 0 if ends_by_signal else EXIT_NO
        if code:
            raise typer.Exit(code)

    flags = [option(known[it.key], it.names) for it in _BROKER]
    options = [*extra, _JSON, *flags, _SIGN_IN, CONFIG_OPTION]
    app.command(name, short_help=summary(run.__doc__), cls=cls)(
        with_options(command, options, run.__doc__)
    )


def _connection(settings: Config, origins: dict[str, str], login_link: str) -> dict[str, Any]:
    """Arguments of a `Client`."""
    section = settings.client
    is_set = {
        name: origins[f"client.{name}"] != "default" for name in ("broker_host", "broker_port")
    }
    # A sign-in link has the address of the broker. Settings override it.
    return {
        "host": section.broker_host if is_set["broker_host"] or not login_link else None,
        "port": section.broker_port if is_set["broker_port"] or not login_link else None,
        "ssl": section.broker_ssl,
        "ca_file": section.ca_file or None,
        "login_link": login_link,
        "cookie_file": config.state_folder(os.environ) / "logins.json",
    }


async def _exit_code(work: Coroutine[Any, Any, int]) -> int:
    """Run a command, and turn its errors into exit codes. Raises `OperatorError`."""
    try:
        return await work
    except ProtocolError as error:
        print_error(f"{plain(str(error))}.")
        return EXIT_OPERATOR
    except (LinkLost, Behind) as error:
        print_error(f"{error}.")
        return EXIT_NO
    except ApiProblem as problem:
        if problem.kind not in NEGATIVE_RESULTS:
            raise
        print_error(plain(f"{problem.detail}." if problem.detail else str(problem)))
        return EXIT_NO
