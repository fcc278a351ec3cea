# SPDX-License-Identifier: BSD-3-Clause
"""The filter of a saved view, as far as a rule of alerts may use it. Pure.

The search language is that of the dashboard (`model/query.ts`). Terms about values and states
change with every reading, so they cannot select the nodes that a rule watches.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.registry.record import NodeRecord

NodeTest: TypeAlias = Callable[[NodeRecord], bool]

_TERM: Final = re.compile(r'(-?)(?:([^\s:<>=!"]+)(>=|<=|!=|[:<>=])("[^"]*"|\S*)|("[^"]*"|\S+))')
_LASTING: Final = ("tag", "room", "gateway", "protocol", "uid", "label")


def node_test(query: str) -> NodeTest:
    """A function that returns whether a node matches all terms of a query.

    Raises `ProtocolError` if a term is not one of `_LASTING`.
    """
    tests = [_test_of(*match.groups(default="")) for match in _TERM.finditer(query)]
    known = [it for it in tests if it is not None]
    return lambda record: all(test(record) for test in known)


def _test_of(minus: str, key: str, operator: str, argument: str, _word: str) -> NodeTest | None:
    name = key.lower()
    if operator != ":" or name not in _LASTING:
        raise ProtocolError(
            "a rule cannot use this view, because its filter has terms other than "
            + ", ".join(f"{it}:" for it in _LASTING)
        )
    wanted = argument.replace('"', "").lower()
    if not wanted:
        return None  # incomplete: the dashboard ignores it too
    test = _is(name, wanted)
    return (lambda record: not test(record)) if minus else test


def _is(name: str, wanted: str) -> NodeTest:
    match name:
        case "tag":
            return lambda it: any(_bare(tag) == wanted for tag in it.annotations.tags)
        case "room":
            return lambda it: _bare(it.annotations.room) == wanted
        case "gateway":
            return lambda it: it.gateway.lower() == wanted
        case "protocol":
            return lambda it: it.protocol.lower() == wanted
        case "uid":
            return lambda it: wanted in it.uid.lower()
        case _:
            return lambda it: wanted in it.annotations.label.lower()


def _bare(text: str) -> str:
    return text.replace('"', "").lower()
