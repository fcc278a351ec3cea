# SPDX-License-Identifier: BSD-3-Clause
"""`aiot node type`: shows and changes what a resource of a node is."""

import re
from typing import Any, Final, get_args

import typer

from pyaiot.cli import selection
from pyaiot.cli.client_command import NODE, RESOURCE, Options, add_command, flag
from pyaiot.cli.formatting import as_json
from pyaiot.cli.node_group import node_group
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.client import ApiProblem, OperatorError, RegistryEntry, ResourceType
from pyaiot.model import ResourceKind

_KINDS: Final = "number, boolean, enum, text, command, colour, position, vector or json"
_SOURCES: Final = {
    "people": "set by people",
    "metadata": "from metadata of the device",
    "links": "from the links of the device",
    "unit": "from the unit of its readings",
    "inferred": "from its name and value",
    "": "unknown",
}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    add_command(
        node_group(app),
        "type",
        _type,
        NODE,
        RESOURCE,
        flag("kind", str | None, f"Kind: {_KINDS}."),
        flag("unit", str | None, "Unit of a number, by its SenML name: Cel, hPa, %RH."),
        flag("minimum", float | None, "Smallest value that may be written.", "--min"),
        flag("maximum", float | None, "Largest value that may be written.", "--max"),
        flag("step", float | None, "Distance between two values, for controls."),
        flag("precision", int | None, "Digits to show after the decimal point."),
        flag(
            "choices", str | None, "Values that may be written, separated by commas: auto,heat,off."
        ),
        flag("writable", bool, "Commands may write it.", default=False),
        flag("read_only", bool, "Commands may not write it.", default=False),
        flag("label", str | None, "Name to show."),
        flag("device_class", str | None, "The device class of Home Assistant: temperature."),
        flag("on", str | None, "The word of the device for true, or the payload of a command."),
        flag("off", str | None, "The word of the device for false."),
        flag("clear", bool, "Clear what people set before.", default=False),
        short_lived=True,
    )


async def _type(
    options: Options,
    node: str,
    resource: str,
    *,
    writable: bool,
    read_only: bool,
    clear: bool,
    choices: str | None,
    **given: str | float | None,
) -> int:
    """Show what a resource is, or set it: aiot node type NODE speed --unit % --min 0 --max 100.

    An empty text clears a field. What you set overrides what the device states. Commands that it
    does not allow are refused.
    """
    if given["kind"] not in (None, "", *get_args(ResourceKind)):
        raise OperatorError(f"--kind must be {_KINDS}.")
    if writable and read_only:
        raise OperatorError("--writable cannot be combined with --read-only.")
    fields: dict[str, Any] = {
        name: None if value == "" else value for name, value in given.items() if value is not None
    }
    if choices is not None:
        fields["choices"] = [it for it in (word.strip() for word in choices.split(",")) if it]
    if writable or read_only:
        fields["writable"] = writable
    if clear and fields:
        raise OperatorError("--clear cannot be combined with fields to set.")
    async with options.client(live=False) as client:
        entry = await selection.find_node(client, node)
        if entry is None:
            return EXIT_NO
        try:
            if clear:
                await client.clear_type(entry.uid, resource)
            elif fields:
                await client.set_type(entry.uid, resource, **fields)
        except ApiProblem as problem:
            if problem.kind != "bad-request":
                raise
            raise OperatorError(_requirement(problem.detail, resource)) from problem
        entry = await client.node(entry.uid)
    return _show(options, entry, resource)


def _requirement(detail: str, resource: str) -> str:
    """The sentence for a type that the broker refuses."""
    found = re.fullmatch(r"types\[\.\.\.\]\.(\w+)(?:\[\d+\])? must be (.+)", detail)
    if found is None:
        reason = detail.removeprefix(f"{resource}: ")
        return f"{reason[:1].upper()}{reason[1:]}."
    name = {"minimum": "min", "maximum": "max"}.get(found[1], found[1].replace("_", "-"))
    return f"--{name} must be {found[2]}."


def _show(options: Options, entry: RegistryEntry, resource: str) -> int:
    try:
        it = entry.resource(resource).type
    except KeyError:
        print_error(f"{plain(entry.name)} has no resource {plain(resource)}.")
        return EXIT_NO
    print_line(as_json(it) if options.json else description(resource, it))
    return 0


def description(resource: str, it: ResourceType) -> str:
    """A type in one line: `speed: number from 0 to 100 %, writable (set by people)`."""
    words: list[str] = [it.kind or "unknown"]
    if it.minimum is not None:
        words.append(f"from {it.minimum:g}")
    if it.maximum is not None:
        words.append(f"to {it.maximum:g}")
    if it.unit:
        words.append(it.unit)
    parts = [" ".join(words)]
    if it.choices:
        parts.append("one of " + " ".join(it.choices))
    if it.on and it.off:
        parts.append(f"{it.on} or {it.off}")
    elif it.on:
        parts.append(f"sends {it.on}")
    if it.step is not None:
        parts.append(f"in steps of {it.step:g}")
    if it.writable is not None:
        parts.append("writable" if it.writable else "read-only")
    if it.device_class:
        parts.append(it.device_class)
    label = f" ({it.label})" if it.label else ""
    return plain(f"{resource}{label}: {', '.join(parts)} ({_SOURCES[it.source]})")
