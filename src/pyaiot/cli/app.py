# SPDX-License-Identifier: BSD-3-Clause
"""The command line `aiot`. A command loads only the module that defines it."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from pyaiot import __version__
from pyaiot.cli.historic import modernize
from pyaiot.cli.terminal import EXIT_OPERATOR, print_error, print_line
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact

# Each module has `add_to(app)`, which registers its commands. `--help` lists them in this order.
MODULES: Final = ("services", "settings", "simulated", "client", "tokens", "doctor")


def build(command: str = "") -> typer.Typer:
    """The program with the module of one command, or with all modules for any other word."""
    app = typer.Typer(
        name="aiot",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # Rich breaks long flags in its boxes of 80 columns
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Connects constrained devices to the web: shows their values in a browser and sends"
        " them commands. Start with aiot demo.",
    )
    app.callback(invoke_without_command=True)(_version)
    module = _MODULE_OF.get(command)
    for name in MODULES if module is None else (module,):
        import_module(f"pyaiot.cli.{name}").add_to(app)
    return app


_MODULE_OF: Final = {
    **dict.fromkeys(("nodes", "watch", "get", "set", "history", "export"), "client"),
    **dict.fromkeys(("generate-keys", "config"), "settings"),
    **dict.fromkeys(("node", "fleet"), "simulated"),
    "token": "tokens",
    "doctor": "doctor",
}
"""The module of each command whose name is fixed. The names of the gateway commands are not."""


def run(arguments: Sequence[str]) -> None:
    """Run a command line. An `OperatorError` is printed as one sentence, with exit code 2."""
    command = arguments[0] if arguments else ""
    if command not in _MODULE_OF:
        # Services are started by unit files and scripts that may be older than this version.
        arguments, notes = modernize(arguments)
        for note in notes:
            print_error(note)
    try:
        build(command)(args=list(arguments), prog_name="aiot")
    except OperatorError as error:
        print_error(redact(str(error)))
        sys.exit(EXIT_OPERATOR)


def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print_line(f"pyaiot {__version__}")
        raise typer.Exit
