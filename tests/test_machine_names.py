# SPDX-License-Identifier: BSD-3-Clause
"""Pure machines have one dialect: `receive_…`, `…_to_send`, `next_event`, `get_timer`,
`handle_timer`."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.test_imports import SOURCE, is_pure, modules

OTHER_NAMES = re.compile(
    r"(data|datagram|bytes|packet|message)s?_received|feed(_.*)?|on_.*|poll|tick|pull"
    r"|.*_(timed_out|timeout_expired)|next_(timer|timeout|deadline)|timer|call_at|wake_at"
    r"|(handle|on)_timeout|(data|datagrams?|packets?|bytes)_out|outgoing|drain|pop_events?"
)
"""Names that other libraries give to what the dialect names."""

TIMER_ONLY = {
    # Packets are due at the time of its timer: `datagrams_to_send` returns them.
    "protocols/coap/exchange.py:Exchange",
    # The same with `publications_to_send`, which gets the time.
    "homeassistant/bridge.py:Bridge",
    # The same with `read_due`: the sensors that are due.
    "devices/schedule.py:Schedule",
    # Tables of due times. Their owner takes what is due, and has `handle_timer` itself.
    "alerts/notices.py:NoticeQueue",
    "alerts/watches.py:Watches",
    "gateways/node_rules.py:RulesOfNodes",
}
"""Classes with `get_timer` and without `handle_timer`, with the reason."""


def methods_of(text: str) -> Iterator[tuple[str, set[str]]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            names = {it.name for it in node.body if isinstance(it, ast.FunctionDef)}
            yield node.name, {it for it in names if not it.startswith("_")}


@cache
def machines() -> dict[str, set[str]]:
    return {
        f"{path.relative_to(SOURCE).as_posix()}:{name}": methods
        for path in modules()
        if is_pure(path)
        for name, methods in methods_of(path.read_text("utf-8"))
    }


def test_machines_use_the_names_of_the_dialect() -> None:
    others = {
        f"{machine}.{method}"
        for machine, methods in machines().items()
        for method in methods
        if OTHER_NAMES.fullmatch(method)
    }
    assert others == set()


def test_each_timer_has_a_handler() -> None:
    timers = {name: methods for name, methods in machines().items() if "get_timer" in methods}
    assert {name for name, methods in timers.items() if "handle_timer" not in methods} == TIMER_ONLY
    assert len(timers) > len(TIMER_ONLY) + 5


def test_each_handler_has_a_timer() -> None:
    assert not [
        name
        for name, methods in machines().items()
        if "handle_timer" in methods and "get_timer" not in methods
    ]


def test_another_name_is_found() -> None:
    [(name, methods)] = methods_of("class A:\n def feed(self): pass\n def get_timer(self): pass")
    assert name == "A"
    assert {it for it in methods if OTHER_NAMES.fullmatch(it)} == {"feed"}
