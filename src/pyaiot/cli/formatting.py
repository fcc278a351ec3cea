# SPDX-License-Identifier: BSD-3-Clause
"""Nodes, readings, receipts and rows as people read them, and as JSON. Pure but for the clock."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from pyaiot.cli.terminal import Paint, plain, table
from pyaiot.client import (
    Event,
    GatewayState,
    Node,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Receipt,
    Rows,
)
from pyaiot.messages import encode

_ABOUT: Final = frozenset(
    {"name", "protocol", "ip", "id", "board", "mcu", "os", "vendor", "version"}
)
"""What nodes tell of themselves. `aiot get` shows it; a table of all nodes is for values."""
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def as_json(value: object) -> str:
    """JSON on one line."""
    return msgspec.json.encode(value).decode()


def data(value: object) -> str:
    """A device's text as it is, else its JSON."""
    return value if isinstance(value, str) else as_json(value)


# -- nodes --------------------------------------------------------------------------------------


def node(it: Node) -> dict[str, Any]:
    """As the HTTP API tells it."""
    return {
        "uid": it.uid,
        "gateway": it.gateway,
        "ts": it.ts,
        "resources": [resource(reading) for reading in it.resources.values()],
    }


def resource(reading: Reading) -> dict[str, Any]:
    """As the HTTP API tells it."""
    told: dict[str, Any] = {"name": reading.resource, "data": reading.data}
    if reading.number is not None:
        told["value"] = reading.number
    if reading.unit:
        told["unit"] = reading.unit
    if reading.retained:
        told["retained"] = True
    return {**told, "ts": reading.ts}


def nodes(those: Sequence[Node], paint: Paint) -> str:
    """A table, with the values in its last column."""
    rows = [
        (
            plain(it.uid),
            plain(it.name) if it.name != it.uid else "",
            plain(it.gateway),
            _age(it.heard_at),
            _values(it),
        )
        for it in those
    ]
    return table(("UID", "NAME", "GATEWAY", "HEARD", "VALUES"), rows, paint)


def resources(it: Node, paint: Paint) -> str:
    """A table of what a node has."""
    rows = [
        (plain(reading.resource), plain(data(reading.data)), _age(reading.ts))
        for reading in it.resources.values()
    ]
    return table(("RESOURCE", "VALUE", "HEARD"), rows, paint)


def _values(it: Node) -> str:
    return "  ".join(
        f"{plain(reading.resource)} {plain(data(reading.data))}"
        for reading in it.resources.values()
        if reading.resource not in _ABOUT
    )


def _age(ts: float) -> str:
    if not ts:
        return ""
    age_s = max(0.0, time.time() - ts)
    for seconds, unit in _AGES:
        if age_s >= seconds:
            return f"{age_s // seconds:.0f} {unit}"
    return "now"


# -- events -------------------------------------------------------------------------------------


def event(it: Event, paint: Paint, *, json: bool) -> str:
    """One line."""
    if json:
        return encode(it).decode()
    clock = paint("dim", _local(it.ts or time.time(), "%H:%M:%S"))
    match it:
        case Reading(uid=uid, resource=name):
            return f"{clock}  {paint('cyan', plain(uid))}  {plain(name)}  {plain(data(it.data))}"
        case NodeAppeared(uid=uid):
            said = paint("green", "appeared")
        case NodeReset(uid=uid):
            said = paint("yellow", "rebooted")
        case NodeLeft(uid=uid):
            said = paint("red", "left" if it.reason == "left" else f"is gone: {it.reason}")
        case GatewayState(name=uid):
            said = paint("green" if it.state == "connected" else "red", f"gateway {it.state}")
    return f"{clock}  {paint('cyan', plain(uid))}  {said}"


# -- commands -----------------------------------------------------------------------------------


def receipt(uid: str, name: str, it: Receipt) -> dict[str, Any]:
    return {
        "uid": uid,
        "resource": name,
        "state": it.state,
        "detail": it.detail,
        "elapsed_ms": it.elapsed_ms,
    }


def receipt_line(it: Receipt, paint: Paint, *, done: bool) -> str:
    said = paint("green", it.state) if done else it.state
    detail = f": {plain(it.detail)}" if it.detail else ""
    return f"{said} in {it.elapsed_ms:.0f} ms{detail}" if it.elapsed_ms else said + detail


# -- history ------------------------------------------------------------------------------------


def rows(those: Rows, paint: Paint) -> str:
    """A table; columns that no row has are left out."""
    columns = those.columns()
    shown: dict[str, list[str]] = {
        "TIME": [_local(row.ts, "%Y-%m-%d %H:%M:%S") for row in those],
        "VALUE": [_text(row.value if row.value is not None else row.data) for row in those],
    }
    if any(columns["unit"]):
        shown["UNIT"] = [plain(unit) for unit in columns["unit"]]
    for name in ("min", "mean", "max", "last", "count"):
        if name in columns:
            shown[name.upper()] = [_text(value) for value in columns[name]]
    return table(list(shown), list(zip(*shown.values(), strict=True)), paint)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else plain(data(value))


def _local(ts: float, form: str) -> str:
    return datetime.fromtimestamp(ts, UTC).astimezone().strftime(form)
