# SPDX-License-Identifier: BSD-3-Clause
"""The command line `aiot`. A command loads only the module that defines it."""

import errno
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from pyaiot import __version__
from pyaiot.cli.historic import modernize
from pyaiot.cli.terminal import EXIT_OPERATOR, plain, print_error, print_line
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact

# Each module has `add_to(app)`, which registers its commands. `--help` lists them in this order.
MODULES: Final = (
    *(
        "setup",
        "services",
        "settings",
        "node_edits",
        "resource_types",
        "simulated",
        "nodes",
        "client",
    ),
    *(
        "client",
        "history",
        "login",
        "accounts",
        "gateway_tokens",
        "device",
        "tls",
        "alerts",
        "mappings",
        "audit",
        "service",
        "cluster",
        "doctor",
        "backup",
        "health",
    ),
)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The program with the module of the command that begins with these words, or with all."""
    # Help and completion need all commands; they are requested without words.
    is_whole = not words or words[0].startswith("-")
    app = typer.Typer(
        name="aiot",
        cls=_sectioned_group() if is_whole else None,
        no_args_is_help=True,
        add_completion=is_whole,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # Rich breaks long flags in its boxes of 80 columns
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Connects constrained devices to the web: shows their values in a browser and sends"
        " them commands. Start with aiot demo.",
    )
    app.callback(invoke_without_command=True)(_version)
    for name in _modules_of(words):
        known = len(app.registered_commands), len(app.registered_groups)
        module = import_module(f"pyaiot.cli.{name}")
        if words and name == "services" and _is_service(words[0]):
            module.add_service(app, words[0])
        else:
            module.add_to(app)
        section = section_of(name) if is_whole else None
        for command in app.registered_commands[known[0] :]:
            command.rich_help_panel = section
        for group in app.registered_groups[known[1] :]:
            group.rich_help_panel = section
    return app


def program(words: Sequence[str] = ()) -> Any:
    """The program of `build` as a command of Click, whose help has the arguments as manual pages
    have them: `NODE [RESOURCE]`."""
    whole: Any = typer.main.get_command(build(words))
    _name_arguments(whole)
    return whole


def _name_arguments(command: Any) -> None:
    # Typer has its own copy of Click, or uses the installed one: no type covers both.
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            several = "..." if parameter.nargs != 1 else ""
            name = parameter.name.upper().replace("_", "-") + several
            parameter.metavar = parameter.metavar or name
            parameter.make_metavar = partial(_metavar, parameter)
    for child in getattr(command, "commands", {}).values():
        _name_arguments(child)


def _metavar(argument: Any, _context: object = None, *, usage: bool = False, **_: object) -> str:
    name: str = argument.metavar
    is_plain = argument.required or not usage or name.startswith("[")
    return name if is_plain else f"[{name}]"


def _sectioned_group() -> type[TyperGroup]:
    from pyaiot.cli.help_sections import SectionedGroup  # noqa: PLC0415 - commands do not need it

    return SectionedGroup


def section_of(module: str) -> str:
    """The section of help in which the commands of a module are."""
    from pyaiot.cli.help_sections import LOOK, LOOKING, MANAGE, RUN, RUNNING  # noqa: PLC0415

    return RUN if module in RUNNING else LOOK if module in LOOKING else MANAGE


_MODULES_OF: Final[dict[str, tuple[str, ...]]] = {
    "nodes": ("nodes",),
    **dict.fromkeys(("watch", "get", "set"), ("client",)),
    **dict.fromkeys(("history", "export"), ("history",)),
    **dict.fromkeys(("generate-keys", "config"), ("settings",)),
    "node": ("node_edits", "resource_types", "simulated"),
    "fleet": ("simulated",),
    **dict.fromkeys(("login", "logout"), ("login",)),
    **dict.fromkeys(("invite", "user", "token"), ("accounts",)),
    "device": ("device",),
    "tls": ("tls",),
    "alerts": ("alerts",),
    "mapping": ("mappings",),
    "audit": ("audit",),
    "gateway": ("gateway_tokens",),
    "service": ("service",),
    "doctor": ("doctor",),
    "setup": ("setup",),
    **dict.fromkeys(("backup", "restore", "upgrade-check"), ("backup",)),
    "health": ("health",),
}
"""The modules of each command that is not a service."""
_SERVICES: Final = ("run", "demo", "broker", "dashboard")
"""The services that are not the gateway of a protocol."""


def _modules_of(words: Sequence[str]) -> tuple[str, ...]:
    if not words:
        return MODULES
    if words[0] == "node":
        from pyaiot.cli.node_group import EDITS  # noqa: PLC0415 - other commands do not need it

        if words[1:2] and words[1] in EDITS:
            return ("resource_types",) if words[1] == "type" else ("node_edits",)
    if words[0] in _MODULES_OF:
        return _MODULES_OF[words[0]]
    return ("services",) if _is_service(words[0]) else MODULES


def _is_service(name: str) -> bool:
    from pyaiot.app.protocols import plugins  # noqa: PLC0415 - other commands do not need it

    return name in _SERVICES or any(name == plugin.command for plugin in plugins())


def run(arguments: Sequence[str]) -> None:
    """Run a command line. An `OperatorError` is printed as one sentence, with exit code 2."""
    if not arguments or arguments[0] not in _MODULES_OF:
        # Services are started by unit files and scripts that may be older than this version.
        arguments, notes = modernize(arguments)
        for note in notes:
            print_error(note)
    try:
        program(arguments)(args=with_values(arguments), prog_name="aiot")
    except OperatorError as error:
        # The sentence may contain names of devices.
        print_error(plain(redact(str(error))))
        sys.exit(EXIT_OPERATOR)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # which even a test for existence raises
            raise
        print_error("the name of a file or folder is too long.")
        sys.exit(EXIT_OPERATOR)
    except UnicodeEncodeError as error:
        # Python reads bytes that are not UTF-8 as surrogates: files may have such names, but no
        # other text may have them.
        if error.reason != _NOT_UTF8:
            raise
        print_error("a word of this command is not UTF-8: use a terminal with this encoding.")
        sys.exit(EXIT_OPERATOR)


_NOT_UTF8: Final = "surrogates not allowed"


OMITTED: Final = {"--homeassistant": "on"}
"""Flags whose value may be omitted, and what it is then. Typer cannot express that."""


def with_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the omitted values of flags added."""
    new: list[str] = []
    for index, argument in enumerate(arguments):
        if argument == "--":
            return [*new, *arguments[index:]]
        following = arguments[index + 1] if index + 1 < len(arguments) else "--"
        is_alone = argument in OMITTED and following.startswith("-")
        new.append(f"{argument}={OMITTED[argument]}" if is_alone else argument)
    return new


def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print_line(f"pyaiot {__version__}")
        raise typer.Exit
