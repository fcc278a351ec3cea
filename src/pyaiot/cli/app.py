# SPDX-License-Identifier: BSD-3-Clause
"""The command line `aiot`. A command loads only the module that it stands in."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from pyaiot import __version__
from pyaiot.cli.historic import modernize
from pyaiot.cli.terminal import EXIT_OPERATOR, say
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact

# Each module has `NAMES`, its commands, and `add_to(app)`. `--help` shows them in this order.
MODULES: Final = ("services", "settings", "simulated", "client", "doctor")


def build(command: str = "") -> typer.Typer:
    """The program with one command, or with all of them if `command` is none of them."""
    app = typer.Typer(
        name="aiot",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # a box of 80 columns cuts long flags in two
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Connects constrained devices to the web: their values in a browser, commands back."
        " Begin with aiot demo.",
    )
    app.callback(invoke_without_command=True)(_version)
    modules = _LIGHT.get(command)
    for name in MODULES if modules is None else (modules,):
        import_module(f"pyaiot.cli.{name}").add_to(app)
    return app


_LIGHT: Final = {
    **dict.fromkeys(("nodes", "watch", "get", "set", "history", "export"), "client"),
    **dict.fromkeys(("generate-keys", "config"), "settings"),
    **dict.fromkeys(("node", "fleet"), "simulated"),
    "doctor": "doctor",
}
"""Commands whose module alone is loaded. Those of the services come from the list of protocols."""


def run(arguments: Sequence[str]) -> None:
    """Run a command line. What the operator has to correct is one sentence and exit code 2."""
    if list(arguments) == ["--version"]:
        say(f"pyaiot {__version__}")
        sys.exit(0)
    command = arguments[0] if arguments else ""
    if command not in _LIGHT:
        # Services are started by unit files and scripts that may be older than this version.
        arguments, notes = modernize(arguments)
        for note in notes:
            print(f"aiot: {note}", file=sys.stderr)
    try:
        build(command)(args=list(arguments), prog_name="aiot")
    except OperatorError as error:
        print(f"aiot: {redact(str(error))}", file=sys.stderr)
        sys.exit(EXIT_OPERATOR)


def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        say(f"pyaiot {__version__}")
        raise typer.Exit
