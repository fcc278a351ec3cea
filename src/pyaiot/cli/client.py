# SPDX-License-Identifier: BSD-3-Clause
"""`aiot get`, `aiot set` and `aiot watch`."""

from typing import Final

import typer

from pyaiot.cli import formatting, selection
from pyaiot.cli.client_command import NODE, Options, add_command, argument, flag
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.client import Conditions, GatewayState, OperatorError, Reading, RegistryEntry
from pyaiot.messages import check_name, check_uid
from pyaiot.model import READ_ONLY

DONE: Final = frozenset({"confirmed", "sent"})
"""States of a receipt with which `aiot set` succeeds."""

_SWITCHES: Final = {
    **dict.fromkeys(("true", "on", "yes"), "1"),
    **dict.fromkeys(("false", "off", "no"), "0"),
}
"""Words for which most nodes expect a number."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    add_command(
        app,
        "watch",
        _watch,
        argument("node", "Only this node, by its uid or its label.", needed=False),
        flag("resource", str | None, "Only resources of this name."),
        flag("tag", list[str] | None, "Only nodes with this tag (may be repeated)."),
        flag("gateway", list[str] | None, "Only nodes of this gateway (may be repeated)."),
        flag("count", int | None, "Number of readings after which it ends.", min=1),
        flag("known", bool, "Whether to show current values first.", "--known/--new", default=True),
        ends_by_signal=True,
    )
    only = argument("resource", "Only this resource.", needed=False)
    add_command(app, "get", _get, NODE, only, short_lived=True)
    add_command(
        app,
        "set",
        _set,
        argument(
            "words",
            "The node by its uid or its label, the resource and the value. With a filter, the"
            " resource and the value.",
            kind=list[str],
            metavar="[NODE] RESOURCE VALUE",
        ),
        *selection.FLAGS,
        flag("online", bool, "With a filter: only nodes that are online.", default=False),
        flag("timeout_s", float, "Timeout in seconds.", "--timeout", default=5.0),
        short_lived=True,
    )


async def _watch(
    options: Options,
    node: str | None,
    resource: str | None,
    tag: list[str] | None,
    gateway: list[str] | None,
    count: int | None,
    *,
    known: bool,
) -> int:
    """Show readings as they arrive, and nodes that appear, reboot or go offline.

    It first shows the current values. It runs until Ctrl+C and reconnects if the broker restarts.
    With --json each line is a message of pyaiot.v2.
    """
    uids = None if node is None else [check_uid(node)]
    resources = None if resource is None else [check_name(resource, "resource")]
    filters = {
        "uids": uids,
        "resources": resources,
        "tags": tag or None,
        "gateways": gateway or None,
    }
    async with options.client(**filters) as client:
        if node is not None and not client.nodes:
            print_error(f"node {plain(node)} is not online: waiting for it.")
        events = client.events()
        shown = 0
        first = [r for n in client.nodes.values() for r in n.resources.values()] if known else []
        for reading in first[:count]:
            print_line(formatting.event(reading, options.paint, json=options.json))
            shown += 1
        while count is None or shown < count:
            event = await anext(events)
            if node is not None and isinstance(event, GatewayState):
                continue
            if resource is None or isinstance(event, Reading):
                print_line(formatting.event(event, options.paint, json=options.json))
                shown += isinstance(event, Reading)
    return 0


async def _get(options: Options, node: str, resource: str | None) -> int:
    """Print the resources of a node, or one value.

    The exit code is 1 if the node is not online or has no such resource. The last values of an
    offline node are printed nevertheless.
    """
    async with options.client(live=False) as client:
        record = await selection.find_node(client, check_uid(node))
    if record is None:
        return EXIT_NO
    code = _note_if_not_online(record)
    if resource is None:
        if options.json:
            print_line(formatting.as_json(formatting.node(record)))
        else:
            print_line(formatting.resources(record, options.paint))
        return code
    reading = record.resources.get(resource)
    if reading is None:
        names = ", ".join(map(plain, record.resources)) or "none yet"
        print_error(f"{plain(node)} has no resource {plain(resource)}; its resources: {names}.")
        return EXIT_NO
    if options.json:
        print_line(formatting.as_json(formatting.resource(reading)))
    else:
        is_terminal = options.paint.is_terminal
        print_line(formatting.value(reading) if is_terminal else formatting.data(reading.data))
    return code


def _note_if_not_online(record: RegistryEntry) -> int:
    """Print why the values are not current. Returns the exit code."""
    if record.state == "online":
        return 0
    last = " These are its last values." if record.resources else ""
    print_error(f"{plain(record.name)}: {formatting.state(record)}.{last}")
    return EXIT_NO


async def _set(
    options: Options,
    words: list[str],
    timeout_s: float,
    *,
    online: bool,
    **filters: list[str] | str | None,
) -> int:
    """Write to a resource of a node, or of all nodes that a filter selects. Print the receipts.

    The exit code is 0 if each node confirmed the command, or if it was sent over a protocol without
    acknowledgements; else 1.
    """
    conditions = selection.conditions(**filters)
    if not conditions:
        if online:
            raise OperatorError("--online requires a filter, such as --tag.")
        node, resource, value = _words(words, "NODE", "RESOURCE", "VALUE")
        return await _set_one(options, node, resource, value, timeout_s)
    if online:
        conditions["state"] = "online"
    resource, value = _words(words, "RESOURCE", "VALUE")
    return await _set_many(options, conditions, resource, value, timeout_s)


def _words(given: list[str], *names: str) -> list[str]:
    """Raises `OperatorError` unless there is a word for each name."""
    if len(given) != len(names):
        filters = "FILTER " if names[0] != "NODE" else ""
        count = "1 argument was" if len(given) == 1 else f"{len(given)} arguments were"
        hint = " (quote a value with spaces)" if len(given) > len(names) else ""
        raise OperatorError(f"aiot set {filters}takes {' '.join(names)}, but {count} given{hint}.")
    return given


async def _set_one(options: Options, node: str, resource: str, value: str, timeout_s: float) -> int:
    async with options.client(uids=[check_uid(node)]) as client:
        uid = next(iter(client.nodes), None)
        record = None if uid is not None else await selection.find_node(client, node)
        uid = uid or (node if record is None else record.uid)
        receipt = await client.set(uid, resource, value, timeout_s=timeout_s)
    done = receipt.state in DONE
    if options.json:
        print_line(formatting.as_json(formatting.receipt(uid, resource, receipt)))
    elif receipt.state != "unknown":
        line = formatting.receipt_line(receipt)
        if done:
            print_line(line.replace(receipt.state, options.paint("green", receipt.state), 1))
        else:
            print_error(line)
    if receipt.state == "refused" and receipt.detail != READ_ONLY:
        _hint_at_number(f"{plain(node)} {plain(resource)}", value)
    return 0 if done else EXIT_NO


async def _set_many(
    options: Options, conditions: Conditions, resource: str, value: str, timeout_s: float
) -> int:
    async with options.client(live=False) as client:
        records = {node.uid: node for node in await client.find_nodes(**conditions)}
        if not records:
            print_error(await selection.nothing_found(client, conditions))
            return EXIT_NO
        receipts = await client.set_many(
            check_name(resource, "resource"), value, timeout_s=timeout_s, **conditions
        )
    from pyaiot.cli import node_table  # noqa: PLC0415 - other commands do not need it

    failed = [receipt for receipt in receipts.values() if receipt.state not in DONE]
    if options.json:
        forms = [formatting.receipt(uid, resource, it) for uid, it in receipts.items()]
        print_line(formatting.as_json(forms))
    else:
        nodes = node_table.in_order(records.get(uid, RegistryEntry(uid=uid)) for uid in receipts)
        print_line(formatting.receipts(receipts, nodes, options.paint, done=DONE))
    sent = sum(receipt.state == "sent" for receipt in receipts.values())
    if sent:
        print_error(f"{sent} of {len(receipts)} nodes do not acknowledge commands: they were sent.")
    if failed:
        print_error(f"{len(failed)} of {len(receipts)} commands are not confirmed.")
    if any(it.state == "refused" and it.detail != READ_ONLY for it in failed):
        _hint_at_number(plain(resource), value)
    return EXIT_NO if failed else 0


def _hint_at_number(words: str, value: str) -> None:
    number = _SWITCHES.get(value.strip().lower())
    if number is not None:
        print_error(f"many nodes expect 1 or 0: aiot set {words} {number}")
