# SPDX-License-Identifier: BSD-3-Clause
"""Formats nodes, readings, receipts and history rows as text and as JSON."""

import time
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from json import dumps
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from pyaiot.cli.terminal import Paint, plain, table
from pyaiot.client import (
    Event,
    GatewayState,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Receipt,
    RegistryEntry,
    Rows,
)
from pyaiot.messages import encode

_DESCRIPTIVE: Final = frozenset(
    {"name", "protocol", "ip", "id", "board", "mcu", "os", "vendor", "version"}
)
"""Resources that describe a node. `aiot get` shows them; the table of all nodes omits them."""
_SPELLED: Final = {"Cel": "°C", "%RH": "%", "%EL": "%", "/100": "%", "/1000": "‰"}
"""Units as people write them. Data for programs has the names of SenML."""
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def as_json(value: object) -> str:
    """JSON on one line. Characters that may control a terminal are escaped: U+009B begins an escape
    sequence, U+202E reverses text."""
    return _printable_json(msgspec.json.encode(value))


def _printable_json(encoded: bytes) -> str:
    text = encoded.decode()
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else dumps(c)[1:-1] for c in text)


def data(item: object) -> str:
    """Text unchanged, any other value as JSON."""
    return item if isinstance(item, str) else as_json(item)


def value(reading: Reading) -> str:
    """The value for people: text as the device sent it, a number with its unit."""
    text = plain(data(reading.data))
    is_number = isinstance(reading.data, int | float) and not isinstance(reading.data, bool)
    return f"{text} {unit(reading.unit)}" if is_number and reading.unit else text


def unit(name: str) -> str:
    """The unit for people."""
    return _SPELLED.get(name, plain(name))


# -- nodes --------------------------------------------------------------------------------------


def node(it: RegistryEntry) -> dict[str, Any]:
    """The node in the form of the HTTP API."""
    form = {name: getattr(it, name) for name in RegistryEntry.__struct_fields__}
    if not it.resource_types:
        del form["resource_types"]
    return {**form, "resources": [resource(reading) for reading in it.resources.values()]}


def resource(reading: Reading) -> dict[str, Any]:
    """The resource in the form of the HTTP API."""
    form: dict[str, Any] = {"name": reading.resource, "data": reading.data}
    if reading.number is not None:
        form["value"] = reading.number
    if reading.unit:
        form["unit"] = reading.unit
    if reading.retained:
        form["retained"] = True
    return {**form, "ts": reading.ts}


def state(it: RegistryEntry) -> str:
    """The state of the node in words."""
    match it.state:
        case "waiting":
            return "waiting for approval"
        case "offline" if not it.first_seen:
            return "never seen"
        case "offline":
            return f"offline since {age(it.seen_at)}"
        case other:
            return other


def resources(it: RegistryEntry, paint: Paint) -> str:
    """A table of the resources of a node."""
    rows = [
        (plain(reading.resource), value(reading), age(reading.ts))
        for reading in it.resources.values()
    ]
    return table(("RESOURCE", "VALUE", "AGE"), rows, paint)


def values(it: RegistryEntry) -> str:
    """The values of a node on one line, without what describes it."""
    return "  ".join(
        f"{plain(reading.resource)} {value(reading)}"
        for reading in it.resources.values()
        if reading.resource not in _DESCRIPTIVE
    )


def age(ts: float) -> str:
    """The time since `ts` in its largest unit; empty if `ts` is 0."""
    if not ts:
        return ""
    age_s = max(0.0, time.time() - ts)
    for seconds, unit in _AGES:
        if age_s >= seconds:
            return f"{age_s // seconds:.0f} {unit}"
    return "now"


# -- events -------------------------------------------------------------------------------------


def event(it: Event, paint: Paint, *, json: bool) -> str:
    """The event as one line."""
    if json:
        return _printable_json(encode(it))
    clock = paint("dim", _local(it.ts or time.time(), "%H:%M:%S"))
    match it:
        case Reading(uid=uid, resource=name):
            return f"{clock}  {paint('cyan', plain(uid))}  {plain(name)}  {value(it)}"
        case NodeAppeared(uid=uid):
            text = paint("green", "appeared")
        case NodeReset(uid=uid):
            text = paint("yellow", "rebooted")
        case NodeLeft(uid=uid):
            text = paint("red", "left" if it.reason == "left" else f"offline: {it.reason}")
        case GatewayState(name=uid):
            text = paint("green" if it.state == "connected" else "red", f"gateway {it.state}")
    return f"{clock}  {paint('cyan', plain(uid))}  {text}"


# -- commands -----------------------------------------------------------------------------------


def receipt(uid: str, name: str, it: Receipt) -> dict[str, Any]:
    return {
        "uid": uid,
        "resource": name,
        "state": it.state,
        "detail": it.detail,
        "elapsed_ms": it.elapsed_ms,
    }


def receipt_line(it: Receipt) -> str:
    detail = f": {plain(it.detail)}" if it.detail else ""
    return f"{it.state} in {it.elapsed_ms:.0f} ms{detail}" if it.elapsed_ms else it.state + detail


def receipts(
    items: Mapping[str, Receipt],
    nodes: Collection[RegistryEntry],
    paint: Paint,
    *,
    done: AbstractSet[str],
) -> str:
    """A line for the receipt of each node. `done`: states that are a success."""
    rows = [
        (plain(it.uid), plain(it.name) if it.name != it.uid else "", receipt_line(items[it.uid]))
        for it in nodes
    ]
    lines = table(("UID", "NAME", "RECEIPT"), rows, paint).splitlines()
    colour_of = {"confirmed": "green", **dict.fromkeys(done - {"confirmed"}, "yellow")}
    colours = [colour_of.get(items[it.uid].state, "red") for it in nodes]
    return "\n".join(
        [lines[0], *(paint(colour, line) for colour, line in zip(colours, lines[1:], strict=True))]
    )


# -- history ------------------------------------------------------------------------------------


def rows(items: Rows, paint: Paint, tz: str | None = None) -> str:
    """A table of readings, without the columns that are empty in every row. `tz`: the time zone
    whose days the steps are; None: the readings have times of this machine."""
    columns = items.columns()
    shown: dict[str, list[str]] = {
        "TIME": [moment(row.ts, tz) for row in items],
        "VALUE": [_text(row.value if row.value is not None else row.data) for row in items],
    }
    if any(columns["unit"]):
        shown["UNIT"] = [unit(name) for name in columns["unit"]]
    for name in ("min", "mean", "max", "last", "count"):
        if name in columns:
            shown[name.upper()] = [_text(value) for value in columns[name]]
    return table(list(shown), list(zip(*shown.values(), strict=True)), paint)


def moment(ts: float, tz: str | None = None) -> str:
    """Date and time of a time zone, or local ones, to the second."""
    return _local(ts, "%Y-%m-%d %H:%M:%S", tz)


def _text(item: object) -> str:
    if item is None:
        return ""
    # All digits, as in the data, and 21 instead of 21.0.
    return repr(item).removesuffix(".0") if isinstance(item, float) else plain(data(item))


def _local(ts: float, form: str, tz: str | None = None) -> str:
    zone = None if tz is None else ZoneInfo(tz)
    return datetime.fromtimestamp(ts, UTC).astimezone(zone).strftime(form)
