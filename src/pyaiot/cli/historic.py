# SPDX-License-Identifier: BSD-3-Clause
"""Command lines of the older system, turned into those of today. Pure.

Unit files and start scripts in the field pass flags with underscores, booleans with a value, empty
values, and flags that have no counterpart (legacy protocol, section 8).
"""

from collections.abc import Sequence
from typing import Final

SWITCHES: Final = frozenset(
    {"--broker-ssl", "--debug", "--insecure", "--behind-proxy", "--publish-without-connection"}
)
"""Flags without a value; older command lines have one."""
_TRUE: Final = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE: Final = frozenset({"false", "0", "no", "off", "f", "n"})
_NOT_NEEDED: Final = {
    "--map-api-key": "the map needs no key",
    "--log-to-stderr": "logs always go to standard error",
    "--log-file-prefix": "logs go to standard error; the service manager keeps them",
}
"""Older flags that no longer have an effect, and why."""
_LOGGING: Final = "--logging"
_BROKER: Final = "broker"


def modernize(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Today's arguments, and a sentence for each older one that is ignored.

    `arguments` begin with the command. What is not an older form is passed on unchanged, so that a
    wrong flag is reported as it was typed.
    """
    new: list[str] = list(arguments[:1])
    notes: list[str] = []
    rest = list(arguments[1:])
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*new, argument, *rest], notes
        name, equals, value = argument.partition("=")
        if not name.startswith("--"):
            new.append(argument)
            continue
        name = "--" + name[2:].replace("_", "-")
        if name in _NOT_NEEDED:
            if not equals:
                _skip_value(rest)
            notes.append(f"{name} is ignored: {_NOT_NEEDED[name]}.")
        elif name == _LOGGING:
            level = value if equals else _skip_value(rest)
            new += ["--debug"] if level.lower() == "debug" else []
        elif name == "--broker-host" and new[:1] == [_BROKER]:
            if not equals:
                _skip_value(rest)
            notes.append("--broker-host is ignored by the broker: --host is where it listens.")
        elif name in SWITCHES and equals:
            new += _switch(name, value, argument)
        elif equals and not value:
            continue  # an empty value meant the default
        else:
            new.append(name + equals + value)
    return new, notes


def _switch(name: str, value: str, argument: str) -> list[str]:
    if value.lower() in _TRUE:
        return [name]
    return [] if value.lower() in _FALSE or not value else [argument]


def _skip_value(rest: list[str]) -> str:
    """Remove the value of a flag that was given as its own word."""
    return rest.pop(0) if rest and not rest[0].startswith("--") else ""
