# SPDX-License-Identifier: BSD-3-Clause
"""`aiot mapping`: plain MQTT topics that become nodes."""

import shlex
import sys
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import typer

from pyaiot.cli import formatting
from pyaiot.cli.client_command import Options, add_command, argument, flag
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.client import ApiProblem, OperatorError
from pyaiot.client.mappings import MappingRow, TriedMapping
from pyaiot.errors import requirement
from pyaiot.model.topic_mapping import TopicMapping

_HELP: Final = "Map plain MQTT topics to nodes, without a restart."
_TOPIC: Final = "Topic pattern: sensors/{node}/{resource}. + matches any level."


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_HELP)
    app.add_typer(group, name="mapping", help=_HELP)
    name = argument("name", "The id of the mapping: lower-case letters, digits and hyphens.")
    of_mapping = (
        argument("topic", _TOPIC),
        flag("payload", str, "Payload format: text, json or csv.", default="text"),
        flag("field", list[str] | None, "For json: a resource and its path: temp=$.air.t."),
        flag("columns", str | None, "For csv: the resource of each column: ,temp,hum."),
        flag("unit", list[str] | None, "A resource and its unit: temp=°C."),
        flag("node", str | None, "The name of the node, if the topic does not have it."),
        flag("command", str | None, "The topic of commands: {topic}/set."),
    )
    add_command(group, "list", _list, short_lived=True)
    add_command(group, "add", _add, name, *of_mapping, short_lived=True)
    add_command(
        group,
        "try",
        _try,
        of_mapping[0],
        argument("message", "The topic of a message."),
        argument("value", "Its payload; - reads standard input."),
        *of_mapping[1:],
        short_lived=True,
    )
    add_command(group, "remove", _remove, name, short_lived=True)


async def _list(options: Options) -> int:
    """List the mappings: those of the settings file, then those that were added."""
    async with options.client(live=False) as client:
        rows = await client.mappings()
    for row in rows:
        print_line(formatting.as_json(_form(row)) if options.json else plain(_line(row)))
    if not rows and not options.json:
        print_error("no mappings: aiot mapping add NAME sensors/{node}/{resource} adds one.")
    return 0


async def _add(options: Options, name: str, topic: str, **given: Any) -> int:
    """Add a mapping, or replace the one with this name. Gateways use it at once."""
    mapping = _mapping(topic, **given)
    async with options.client(live=False) as client:
        row = await _checked(client.put_mapping(name, mapping))
    print_line(formatting.as_json(_form(row)) if options.json else plain(_line(row)))
    return 0


async def _try(options: Options, topic: str, message: str, value: str, **given: Any) -> int:
    """Show which readings a mapping finds in a message. Nothing is saved or sent.

    The exit code is 1 if the message gives no values.
    """
    mapping = _mapping(topic, **given)
    payload = sys.stdin.read() if value == "-" else value
    async with options.client(live=False) as client:
        tried = await _checked(client.try_mapping(mapping, message, payload))
    if options.json:
        print_line(formatting.as_json(msgspec.to_builtins(tried)))
    elif tried.problem:
        print_error(f"{plain(tried.problem).rstrip('.')}.")
    else:
        for line in _tried_lines(tried):
            print_line(plain(line))
    return EXIT_NO if tried.problem else 0


async def _remove(options: Options, name: str) -> int:
    """Remove a mapping that was added. Its nodes go offline."""
    async with options.client(live=False) as client:
        await _checked(client.remove_mapping(name))
    return 0


async def _checked(work: Any) -> Any:
    """The result. Raises `OperatorError` for what the user wrote."""
    try:
        return await work
    except ApiProblem as problem:
        if problem.kind == "unknown-mapping":
            raise OperatorError("There is no such mapping: see aiot mapping list.") from None
        if problem.kind in ("mapping-refused", "bad-request"):
            detail = str(problem.detail or problem).rstrip(".")
            raise OperatorError(f"{detail[:1].upper()}{detail[1:]}.") from None
        raise


def _mapping(
    topic: str,
    *,
    payload: str,
    field: list[str] | None,
    columns: str | None,
    unit: list[str] | None,
    node: str | None,
    command: str | None,
) -> TopicMapping:
    """Raises `OperatorError`."""
    if payload == "text" and field:
        payload = "json"
    if payload == "text" and columns:
        payload = "csv"
    table = {
        "topic": topic,
        "payload": payload,
        "fields": _pairs("--field", field or ()),
        "columns": columns.split(",") if columns else [],
        "units": _pairs("--unit", unit or ()),
        "node": node or "",
        "command": command or "",
    }
    try:
        return msgspec.convert(table, TopicMapping)
    except msgspec.ValidationError as error:
        raise OperatorError(f"The mapping is not valid: {requirement(str(error))}.") from error


def _pairs(name: str, texts: Iterable[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    if not all(key and value for key, value in pairs.items()):
        raise OperatorError(f"{name} needs a resource and a value: {name} temperature=...")
    return pairs


def _form(row: MappingRow) -> dict[str, Any]:
    return {"id": row.id, "editable": row.editable, **msgspec.to_builtins(row.mapping)}


def _line(row: MappingRow) -> str:
    """As `aiot mapping add` would get it."""
    it = row.mapping
    words = [row.id, shlex.quote(it.topic)]
    if it.payload != "text":
        words += ["--payload", it.payload]
    words += [f"--field {shlex.quote(f'{key}={path}')}" for key, path in it.fields.items()]
    if it.columns:
        words.append(f"--columns {shlex.quote(','.join(it.columns))}")
    words += [f"--unit {shlex.quote(f'{key}={unit}')}" for key, unit in it.units.items()]
    words += [
        f"--{name} {shlex.quote(text)}"
        for name, text in (("node", it.node), ("command", it.command))
        if text
    ]
    return " ".join(words) + ("" if row.editable else "  (settings file)")


def _tried_lines(tried: TriedMapping) -> Iterable[str]:
    yield f"node {tried.uid} ({tried.name})"
    width = max(len(it.resource) for it in tried.values)
    for it in tried.values:
        shown = it.data if isinstance(it.data, str) else formatting.as_json(it.data)
        unit = f" {it.unit}" if it.unit else ""
        to = f"  commands to {it.command_topic}" if it.command_topic else ""
        yield f"  {it.resource:<{width}}  {shown}{unit}  {it.type.kind}{to}"
