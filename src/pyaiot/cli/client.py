# SPDX-License-Identifier: BSD-3-Clause
"""Commands that are clients of a broker: `aiot nodes`, `watch`, `get`, `set`, `history`, `export`.

Each has the flag `_JSON` and the flags of the connection. Every command returns its exit code.
"""

import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from pyaiot import config
from pyaiot.app.runner import run_until_signal
from pyaiot.cli import formatting
from pyaiot.cli.options import CONFIG_OPTION, load, option, summary, with_options
from pyaiot.cli.terminal import EXIT_NO, EXIT_OPERATOR, Paint, plain, print_error, print_line
from pyaiot.client import Behind, Client, LinkLost, OperatorError, Reading
from pyaiot.config import Config, SettingFlag
from pyaiot.errors import ProtocolError
from pyaiot.messages import check_name, check_uid

DONE: Final = frozenset({"confirmed", "sent"})
"""States of a receipt with which `aiot set` succeeds."""


_SHORT_LIVED: Final = frozenset({"nodes", "get", "set"})
"""Commands that transfer little, and for which the time to start matters."""

_SWITCHES: Final = {
    **dict.fromkeys(("true", "on", "yes"), "1"),
    **dict.fromkeys(("false", "off", "no"), "0"),
}
"""Words for which most nodes expect a number."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a command connects to the broker, and how it prints."""

    connection: dict[str, Any]
    """Arguments of a `Client`."""
    json: bool
    paint: Paint

    def client(self, **more: Any) -> Client:
        return Client(**self.connection, **more, tell=print_error)


CommandFunction: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
"""Takes `Options` and the arguments of the command, and returns the exit code."""


# -- commands -----------------------------------------------------------------------------------


async def _nodes(options: Options) -> int:
    """Show the nodes that are online, with their latest values."""
    async with options.client() as client:
        nodes = list(client.nodes.values())
    if options.json:
        print_line(formatting.as_json([formatting.node(node) for node in nodes]))
    elif nodes:
        print_line(formatting.nodes(nodes, options.paint))
    else:
        print_error("no nodes are online. aiot demo starts simulated ones.")
    return 0


async def _watch(
    options: Options, uid: str | None, resource: str | None, count: int | None, *, known: bool
) -> int:
    """Show readings as they arrive, and nodes that appear, reboot or go offline.

    It first shows the current values. It runs until Ctrl+C and reconnects if the broker restarts.
    With --json each line is a message of pyaiot.v2.
    """
    uids = None if uid is None else [check_uid(uid)]
    resources = None if resource is None else [check_name(resource, "resource")]
    async with options.client(uids=uids, resources=resources) as client:
        if uid is not None and uid not in client.nodes:
            print_error(f"node {plain(uid)} is not online: waiting for it.")
        events = client.events(uid)
        shown = 0
        first = [r for n in client.nodes.values() for r in n.resources.values()] if known else []
        for reading in first[:count]:
            print_line(formatting.event(reading, options.paint, json=options.json))
            shown += 1
        while count is None or shown < count:
            event = await anext(events)
            if resource is None or isinstance(event, Reading):
                print_line(formatting.event(event, options.paint, json=options.json))
                shown += isinstance(event, Reading)
    return 0


async def _get(options: Options, uid: str, resource: str | None) -> int:
    """Print the resources of a node, or one value.

    The exit code is 1 if the node is not online or has no such resource.
    """
    async with options.client(uids=[check_uid(uid)]) as client:
        node = client.nodes.get(uid)
    if node is None:
        print_error(f"node {plain(uid)} is not online: aiot nodes lists the nodes that are.")
        return EXIT_NO
    if resource is None:
        if options.json:
            print_line(formatting.as_json(formatting.node(node)))
        else:
            print_line(formatting.resources(node, options.paint))
        return 0
    reading = node.resources.get(resource)
    if reading is None:
        names = ", ".join(map(plain, node.resources)) or "none yet"
        print_error(f"{plain(uid)} has no resource {plain(resource)}; its resources: {names}.")
        return EXIT_NO
    if options.json:
        print_line(formatting.as_json(formatting.resource(reading)))
    else:
        is_terminal = options.paint.is_terminal
        print_line(formatting.value(reading) if is_terminal else formatting.data(reading.data))
    return 0


async def _set(options: Options, uid: str, resource: str, value: str, timeout_s: float) -> int:
    """Write to a resource, and print the receipt.

    The exit code is 0 if the node confirmed the command, or if it was sent over a protocol without
    acknowledgements; else 1.
    """
    async with options.client(uids=[check_uid(uid)]) as client:
        receipt = await client.set(uid, resource, value, timeout_s=timeout_s)
    done = receipt.state in DONE
    if options.json:
        print_line(formatting.as_json(formatting.receipt(uid, resource, receipt)))
    else:
        line = formatting.receipt_line(receipt, options.paint, done=done)
        (print_line if done else print_error)(line)
    number = _SWITCHES.get(value.strip().lower())
    if receipt.state == "refused" and number is not None:
        command = f"aiot set {plain(uid)} {plain(resource)} {number}"
        print_error(f"many nodes expect 1 or 0: {command}")
    return 0 if done else EXIT_NO


async def _history(
    options: Options,
    uid: str,
    resource: str,
    start: str,
    end: str | None,
    every_s: int | None,
    agg: str | None,
    limit: int | None,
    tz: str | None,
    *,
    csv: bool,
) -> int:
    """Show the readings of a resource as a table, or one row per step of time.

    A time is Unix seconds, 2026-11-25T10:00:00Z, or relative to now: -90s, -15m, -1h, -7d.
    The exit code is 1 if there is no history for this node or resource.
    """
    if csv and (options.json or any(it is not None for it in (limit, every_s, tz))):
        raise OperatorError("--csv cannot be combined with --json, --limit, --every or --tz.")
    async with options.client(live=False) as client:
        if csv:
            if not await _has_history(client, uid, resource):
                print_error(f"there is no history for {plain(resource)} of {plain(uid)}.")
                return EXIT_NO
            pieces = client.export("csv", start=start, end=end, uid=uid, resource=resource)
            await _print(pieces)
            return 0
        rows = await client.history(
            check_uid(uid), resource, start, end, every_s=every_s, agg=agg, limit=limit, tz=tz
        )
        known = bool(rows) or await _has_history(client, uid, resource)
    if options.json:
        print_line(formatting.as_json({"uid": uid, "resource": resource, "readings": list(rows)}))
    elif rows:
        print_line(formatting.rows(rows, options.paint))
    if not rows:
        when = " in this time" if known else ""
        print_error(f"there is no history for {plain(resource)} of {plain(uid)}{when}.")
    return 0 if known else EXIT_NO


async def _has_history(client: Client, uid: str, resource: str) -> bool:
    """Whether the history has any reading of the resource, at any time."""
    return bool(await client.history(check_uid(uid), resource, None, limit=1))


async def _export(
    options: Options,
    output: Path | None,
    start: str | None,
    end: str | None,
    uid: str | None,
    resource: str | None,
    form: str,
) -> int:
    """Write all readings of the history, any number of them, to a file or standard output.

    The file appears when it is complete. --json is the same as --format ndjson: one JSON object
    per line.
    """
    form = "ndjson" if options.json else form
    if form not in ("csv", "ndjson", "senml", "arrow"):
        raise OperatorError(f"There is no format {form}: use csv, ndjson, senml or arrow.")
    if form == "arrow" and output is None and sys.stdout.isatty():
        raise OperatorError("Arrow is a binary format: name a file with --output.")
    from pyaiot.cli.download import save  # noqa: PLC0415 - other commands do not need it

    async with options.client(live=False) as client:
        pieces = client.export(
            form,  # type: ignore[arg-type]  # checked above
            start=start,
            end=end,
            uid=uid,
            resource=resource,
        )
        if output is None:
            await _print(pieces)
        else:
            size = await save(pieces, output)
            print_error(f"wrote {size:,} bytes to {output}.")
    return 0


async def _print(pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()  # raises here if the reader has closed the pipe


# -- flags --------------------------------------------------------------------------------------

_BROKER: Final = (
    SettingFlag(("--broker-host",), "client.broker_host"),
    SettingFlag(("--broker-port",), "client.broker_port"),
    SettingFlag(("--broker-ssl",), "client.broker_ssl"),
    SettingFlag(("--debug",), "log.debug"),
)


def _flag(name: str, kind: Any, text: str, *names: str, default: Any = None, **more: Any) -> Any:
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


def _argument(name: str, text: str, *, needed: bool = True) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            str if needed else str | None, typer.Argument(help=text, show_default=False)
        ],
        default=inspect.Parameter.empty if needed else None,
    )


_SIGN_IN: Final = _flag(
    "login_link",
    str,
    "The sign-in link that the broker printed at its start, if the broker requires one. It works"
    " once, and the session lasts a week.",
    default="",
)
_JSON: Final = _flag("json", bool, "Print JSON, for programs.", "--json", default=False)
_UID: Final = _argument("uid", "The node.")
_RESOURCE: Final = _argument("resource", "The resource.")
_START: Final = _flag("start", str | None, "Start: -1h, or a time.", "--from")
_END: Final = _flag("end", str | None, "End, exclusive. (default: now)", "--to")
_RESOURCE_FILTER: Final = _flag("resource", str | None, "Only resources of this name.")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    _add(app, "nodes", _nodes)
    _add(
        app,
        "watch",
        _watch,
        _argument("uid", "Only this node.", needed=False),
        _RESOURCE_FILTER,
        _flag("count", int | None, "Number of readings after which it ends.", min=1),
        _flag(
            "known", bool, "Whether to show current values first.", "--known/--new", default=True
        ),
        ends_by_signal=True,
    )
    resource = _argument("resource", "Only this resource.", needed=False)
    _add(app, "get", _get, _UID, resource)
    timeout = _flag("timeout_s", float, "Timeout in seconds.", "--timeout", default=5.0)
    _add(app, "set", _set, _UID, _RESOURCE, _argument("value", "The value to write."), timeout)
    _add(
        app,
        "history",
        _history,
        _UID,
        _RESOURCE,
        _flag("start", str, "Start: -1h, or a time.", "--from", default="-1h"),
        _END,
        _flag("every_s", int | None, "Length of a step in seconds.", "--every", min=1),
        _flag("agg", str | None, "Per step: mean, min, max, last, count; a list with commas."),
        _flag("limit", int | None, "The most rows, the newest ones.", min=1),
        _flag("tz", str | None, "Steps are days of this time zone, such as Europe/Paris."),
        _flag("csv", bool, "Print CSV, of any length.", "--csv", default=False),
    )
    uid = _flag("uid", str | None, "Only this node.")
    output = _flag("output", Path | None, "The file to write.", "--output", "-o")
    form = _flag("form", str, "csv, ndjson, senml or arrow.", "--format", default="csv")
    _add(app, "export", _export, output, _START, _END, uid, _RESOURCE_FILTER, form)


def _add(
    app: typer.Typer,
    name: str,
    run: CommandFunction,
    *extra: inspect.Parameter,
    ends_by_signal: bool = False,
) -> None:
    known = {setting.key: setting for setting in config.settings()}

    def command(
        config_file: Path | None = None, *, login_link: str, json: bool, **given: Any
    ) -> None:
        arguments = {item.name: given.pop(item.name) for item in extra}
        settings, origins = load(config_file, given)
        connection = _connection(settings, origins, login_link)
        work = run(Options(connection, json, Paint(sys.stdout)), **arguments)
        code = run_until_signal(
            _exit_code(work), settings.log, quiet=True, short_lived=name in _SHORT_LIVED
        )
        if code is None:
            code = 0 if ends_by_signal else EXIT_NO
        if code:
            raise typer.Exit(code)

    flags = [option(known[flag.key], flag.names) for flag in _BROKER]
    options = [*extra, _JSON, *flags, _SIGN_IN, CONFIG_OPTION]
    app.command(name, short_help=summary(run.__doc__))(with_options(command, options, run.__doc__))


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
        "login_link": login_link,
        "cookie_file": config.state_folder(os.environ) / "logins.json",
    }


async def _exit_code(work: Coroutine[Any, Any, int]) -> int:
    """Run a command, and turn its errors into exit codes. Raises `OperatorError`."""
    try:
        return await work
    except ProtocolError as error:
        print_error(f"{error}.")
        return EXIT_OPERATOR
    except (LinkLost, Behind) as error:
        print_error(f"{error}.")
        return EXIT_NO
