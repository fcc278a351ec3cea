# SPDX-License-Identifier: BSD-3-Clause
"""Commands that are clients of a broker: `aiot nodes`, `watch`, `get`, `set`, `history`, `export`.

`_JSON` and where the broker is are flags of each. Every command returns its exit code.
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
from pyaiot.cli.download import save
from pyaiot.cli.options import CONFIG_OPTION, load, option, summary, with_options
from pyaiot.cli.terminal import EXIT_NO, EXIT_OPERATOR, Paint, complain, plain, say
from pyaiot.client import Behind, Client, LinkLost, Node, OperatorError, Reading
from pyaiot.config import Config, SettingFlag
from pyaiot.errors import ProtocolError
from pyaiot.messages import check_name, check_uid

DONE: Final = frozenset({"confirmed", "sent"})
"""Receipts after which `aiot set` succeeds."""


_SWITCHES: Final = {
    **dict.fromkeys(("true", "on", "yes"), "1"),
    **dict.fromkeys(("false", "off", "no"), "0"),
}
"""Words that people use where nodes have numbers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Where the broker is, and how to print."""

    place: dict[str, Any]
    """Arguments of a `Client`."""
    json: bool
    paint: Paint

    def client(self, **more: Any) -> Client:
        return Client(**self.place, **more, tell=complain)


Work: TypeAlias = Callable[..., Coroutine[Any, Any, int]]


# -- commands -----------------------------------------------------------------------------------


async def _nodes(asked: Asked) -> int:
    """Show the nodes that are there, with their latest values."""
    async with asked.client() as client:
        nodes = list(client.nodes.values())
    if asked.json:
        say(formatting.as_json([formatting.node(node) for node in nodes]))
    elif nodes:
        say(formatting.nodes(nodes, asked.paint))
    else:
        complain("the broker knows no nodes. aiot demo starts simulated ones.")
    return 0


async def _watch(
    asked: Asked, uid: str | None, resource: str | None, count: int | None, *, known: bool
) -> int:
    """Show readings as they arrive, and nodes that appear, reboot and leave.

    First comes what is known. It goes on until Ctrl+C, also over a restart of the broker. With
    --json each line is a message of pyaiot.v2.
    """
    uids = None if uid is None else [check_uid(uid)]
    resources = None if resource is None else [check_name(resource, "resource")]
    async with asked.client(uids=uids, resources=resources) as client:
        if uid is not None and uid not in client.nodes:
            complain(f"there is no node {plain(uid)} now: waiting for it.")
        events = client.events(uid)
        shown = 0
        first = [r for n in client.nodes.values() for r in n.resources.values()] if known else []
        for reading in first[:count]:
            say(formatting.event(reading, asked.paint, json=asked.json))
            shown += 1
        while count is None or shown < count:
            event = await anext(events)
            if resource is None or isinstance(event, Reading):
                say(formatting.event(event, asked.paint, json=asked.json))
                shown += isinstance(event, Reading)
    return 0


async def _get(asked: Asked, uid: str, resource: str | None) -> int:
    """Print what a node has, or one value of it.

    The exit code is 1 if there is no such node or resource now.
    """
    async with asked.client(uids=[check_uid(uid)]) as client:
        node = client.nodes.get(uid)
    if node is None:
        complain(f"there is no node {plain(uid)} now: aiot nodes shows those that are there.")
        return EXIT_NO
    if resource is None:
        say(_node_shown(node, asked))
        return 0
    reading = node.resources.get(resource)
    if reading is None:
        has = ", ".join(map(plain, node.resources)) or "nothing yet"
        complain(f"{plain(uid)} has no {plain(resource)}; it has: {has}.")
        return EXIT_NO
    if asked.json:
        say(formatting.as_json(formatting.resource(reading)))
    else:
        text = formatting.data(reading.data)
        say(plain(text) if asked.paint.is_terminal else text)
    return 0


def _node_shown(node: Node, asked: Asked) -> str:
    if asked.json:
        return formatting.as_json(formatting.node(node))
    return formatting.resources(node, asked.paint)


async def _set(asked: Asked, uid: str, resource: str, value: str, timeout_s: float) -> int:
    """Write to a resource, and tell what became of it.

    The exit code is 0 if the node confirmed it, or if it went where nobody acknowledges; else 1.
    """
    async with asked.client(uids=[check_uid(uid)]) as client:
        receipt = await client.set(uid, resource, value, timeout_s=timeout_s)
    done = receipt.state in DONE
    if asked.json:
        say(formatting.as_json(formatting.receipt(uid, resource, receipt)))
    else:
        line = formatting.receipt_line(receipt, asked.paint, done=done)
        (say if done else complain)(line)
    number = _SWITCHES.get(value.strip().lower())
    if receipt.state == "refused" and number is not None:
        words = f"aiot set {plain(uid)} {plain(resource)} {number}"
        complain(f"Many nodes take 1 and 0: {words}")
    return 0 if done else EXIT_NO


async def _history(
    asked: Asked,
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
    """Show what a resource said: a table, or the numbers in steps of time.

    Times are Unix seconds, 2026-11-25T10:00:00Z, or how long ago: -90s, -15m, -1h, -7d.
    The exit code is 1 if there is no history for this node or resource.
    """
    if csv and (asked.json or any(it is not None for it in (limit, every_s, tz))):
        raise OperatorError(
            "--csv is for readings as they are: leave --json, --limit, --every and --tz."
        )
    async with asked.client(live=False) as client:
        if csv:
            if not await _is_kept(client, uid, resource):
                complain(f"there is no history for {plain(resource)} of {plain(uid)}.")
                return EXIT_NO
            pieces = client.export("csv", start=start, end=end, uid=uid, resource=resource)
            await _print(pieces)
            return 0
        rows = await client.history(
            check_uid(uid), resource, start, end, every_s=every_s, agg=agg, limit=limit, tz=tz
        )
        known = bool(rows) or await _is_kept(client, uid, resource)
    if asked.json:
        say(formatting.as_json({"uid": uid, "resource": resource, "readings": list(rows)}))
    elif rows:
        say(formatting.rows(rows, asked.paint))
    if not rows:
        when = " in this time" if known else ""
        complain(f"there is no history for {plain(resource)} of {plain(uid)}{when}.")
    return 0 if known else EXIT_NO


async def _is_kept(client: Client, uid: str, resource: str) -> bool:
    """Whether there is any reading of it, at whatever time."""
    return bool(await client.history(check_uid(uid), resource, None, limit=1))


async def _export(
    asked: Asked,
    output: Path | None,
    start: str | None,
    end: str | None,
    uid: str | None,
    resource: str | None,
    form: str,
) -> int:
    """Write all readings that were kept, any number of them, to a file or standard output.

    A file appears when it is complete. --json is --format ndjson: a line of JSON for each.
    """
    form = "ndjson" if asked.json else form
    if form not in ("csv", "ndjson", "senml", "arrow"):
        raise OperatorError(f"There is no format {form}: it is csv, ndjson, senml or arrow.")
    if form == "arrow" and output is None and sys.stdout.isatty():
        raise OperatorError("Arrow is no text: name a file with --output.")
    async with asked.client(live=False) as client:
        pieces = client.export(
            form,  # type: ignore[arg-type]  # it is one of them
            start=start,
            end=end,
            uid=uid,
            resource=resource,
        )
        if output is None:
            await _print(pieces)
        else:
            size = await save(pieces, output)
            complain(f"{size:,} bytes are in {output}.")
    return 0


async def _print(pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()  # who reads nothing more ends it here


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


_LOGIN: Final = _flag(
    "login_link",
    str,
    "The link that the broker printed at its start, where it asks for one. It works once, and is"
    " remembered for a week.",
    default="",
)
_JSON: Final = _flag("json", bool, "Print JSON, for programs.", "--json", default=False)
_UID: Final = _argument("uid", "The node.")
_RESOURCE: Final = _argument("resource", "The resource.")
_START: Final = _flag("start", str | None, "Begin: -1h, or a time.", "--from")
_END: Final = _flag("end", str | None, "End, exclusive; now if it is not given.", "--to")
_WHICH: Final = _flag("resource", str | None, "Only resources of this name.")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    _add(app, "nodes", _nodes)
    _add(
        app,
        "watch",
        _watch,
        _argument("uid", "Only this node.", needed=False),
        _WHICH,
        _flag("count", int | None, "End after so many readings.", min=1),
        _flag("known", bool, "Begin with what is known, or do not.", "--known/--new", default=True),
        ends_by_signal=True,
    )
    resource = _argument("resource", "One resource of it.", needed=False)
    _add(app, "get", _get, _UID, resource)
    deadline = _flag("timeout_s", float, "Seconds that the node has.", "--timeout", default=5.0)
    _add(app, "set", _set, _UID, _RESOURCE, _argument("value", "What to write."), deadline)
    _add(
        app,
        "history",
        _history,
        _UID,
        _RESOURCE,
        _flag("start", str, "Begin: how long ago, or a time.", "--from", default="-1h"),
        _END,
        _flag("every_s", int | None, "Steps of so many seconds.", "--every", min=1),
        _flag("agg", str | None, "Of a step: mean, min, max, last, count, several with commas."),
        _flag("limit", int | None, "Only the newest so many.", min=1),
        _flag("tz", str | None, "Steps are the days of this time zone, as Europe/Paris."),
        _flag("csv", bool, "Print CSV, of any length.", "--csv", default=False),
    )
    uid = _flag("uid", str | None, "Only this node.")
    output = _flag("output", Path | None, "The file to write.", "--output", "-o")
    form = _flag("form", str, "csv, ndjson, senml or arrow.", "--format", default="csv")
    _add(app, "export", _export, output, _START, _END, uid, _WHICH, form)


def _add(
    app: typer.Typer,
    name: str,
    work: Work,
    *extra: inspect.Parameter,
    ends_by_signal: bool = False,
) -> None:
    known = {setting.key: setting for setting in config.settings()}

    def command(
        config_file: Path | None = None, *, login_link: str, json: bool, **given: Any
    ) -> None:
        arguments = {item.name: given.pop(item.name) for item in extra}
        settings, origins = load(config_file, given)
        asked = Asked(_place(settings, origins, login_link), json, Paint(sys.stdout))
        code = run_until_signal(_told(work(asked, **arguments)), settings.log, quiet=True)
        if code is None:
            code = 0 if ends_by_signal else EXIT_NO
        if code:
            raise typer.Exit(code)

    flags = [option(known[flag.key], flag.names) for flag in _BROKER]
    options = [*extra, _JSON, *flags, _LOGIN, CONFIG_OPTION]
    app.command(name, short_help=summary(work.__doc__))(
        with_options(command, options, work.__doc__)
    )


def _place(settings: Config, origins: dict[str, str], login_link: str) -> dict[str, Any]:
    section = settings.client
    is_said = {
        name: origins[f"client.{name}"] != "default" for name in ("broker_host", "broker_port")
    }
    # A link says where it leads, if nobody says otherwise.
    return {
        "host": section.broker_host if is_said["broker_host"] or not login_link else None,
        "port": section.broker_port if is_said["broker_port"] or not login_link else None,
        "ssl": section.broker_ssl,
        "login_link": login_link,
        "cookie_file": config.state_folder(os.environ) / "logins.json",
    }


async def _told(work: Coroutine[Any, Any, int]) -> int:
    """The exit code, also of what went wrong on the way. Raises `OperatorError`."""
    try:
        return await work
    except ProtocolError as error:
        complain(f"{error}.")
        return EXIT_OPERATOR
    except (LinkLost, Behind) as error:
        complain(f"{error}.")
        return EXIT_NO
