# SPDX-License-Identifier: BSD-3-Clause
"""Texts that the broker and the gateways write in English have a translation in the dashboard.

The texts are collected from the calls that write them. A value within a text becomes a word.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import pyaiot
from pyaiot.errors import ProtocolError
from pyaiot.model import ResourceType, encode
from pyaiot.web.problems import KINDS, ProblemError

SOURCE: Final = Path(pyaiot.__file__).parent
WORDS: Final = Path(__file__).parents[2] / "dashboard" / "src" / "i18n" / "brokerTexts.ts"

DETAIL_AT: Final = {
    "answer": 3,
    "_receipt": 2,
    "Outcome": 1,
    "TokenRefusal": 1,
    "ResetReceived": 0,
    "UnprotectedResponse": 0,
}
"""Calls whose argument at this place is a detail. With `detail=`, every call of `Receipt`."""
CALLERS: Final = ("broker/", "gateways/", "cluster/", "web/")
DIALECTS: Final = "gateways/mqtt/dialects"
RAISED_IN: Final = {
    "broker/commands.py": {"start"},
    "model/encoding.py": None,
    "protocols/mqtt/node_topics.py": {"check_topic_name"},
    "protocols/coap/blocks.py": {"_check_blocks_left"},
    "gateways/mqtt/dialect_nodes.py": {"command"},
    f"{DIALECTS}/sparkplug_payload.py": {"value_field"},
    f"{DIALECTS}/ha_resources.py": {"number_of"},
    **{
        f"{DIALECTS}/{name}.py": {"command"}
        for name in (
            *("homeassistant", "homie", "mapping", "shelly", "shelly_rpc", "sparkplug"),
            *("tasmota", "zigbee2mqtt", "on_demand"),
        )
    },
}
"""Modules, and the functions in which errors become details of receipts; None: all."""
RETURNED_IN: Final = {
    "broker/subscriber.py": {"problem_of"},
}
ASSIGNED: Final = {
    "web/api/idempotency.py": {"_LOST", "_RESTART"},
    "model/encoding.py": {"READ_ONLY"},
    "gateways/command_runner.py": {"detail"},
}
NOT_OURS: Final = {"x", "x x", ""}
"""Of a device, or of the operating system."""
COMPOSED: Final = {"it takes a numberx", "it takes a textx characters", "it takes x"}
"""Tested with their parts: see `test_what_a_resource_takes_is_translated`."""


def text_of(node: ast.expr | None) -> str | None:
    """The literal, with `x` for each value; None if it is not a literal."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            parts = (it.value if isinstance(it, ast.Constant) else "x" for it in values)
            return "".join(map(str, parts))
        case _:
            return None


def raised(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from node.exc.args[:1]


def functions(tree: ast.Module, names: set[str] | None) -> Iterator[ast.AST]:
    if names is None:
        yield tree
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names:
            yield node


def called_with(tree: ast.Module) -> Iterator[ast.expr]:
    """The details that are arguments of calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            at = DETAIL_AT.get(called, len(node.args))
            yield from node.args[at : at + 1]
            if called == "Receipt":
                yield from (it.value for it in node.keywords if it.arg == "detail")


def assigned(tree: ast.Module, names: set[str]) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.Assign(targets=[ast.Name(id=name)], value=value)
            ) if name in names:
                yield value


def details_in(name: str, tree: ast.Module) -> Iterator[ast.expr | None]:
    """The details that a module writes. `name`: its path."""
    if name.startswith(CALLERS):
        yield from called_with(tree)
    if name in RAISED_IN:
        for part in functions(tree, RAISED_IN[name]):
            yield from raised(part)
    if name in RETURNED_IN:
        for part in functions(tree, RETURNED_IN[name]):
            yield from (it.value for it in ast.walk(part) if isinstance(it, ast.Return))
    if name in ASSIGNED:
        yield from assigned(tree, ASSIGNED[name])


@cache
def written() -> tuple[tuple[str, str], ...]:
    """All details that are literals, with the module."""
    return tuple(_written())


def _written() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not (name.startswith(CALLERS) or name in RAISED_IN | RETURNED_IN | ASSIGNED):
            continue  # `details_in` finds nothing there, and parsing takes most of the time
        for node in details_in(name, ast.parse(path.read_text("utf-8"))):
            text = text_of(node)
            if text is not None and text not in NOT_OURS | COMPOSED:
                yield name, text


def patterns() -> dict[str, re.Pattern[str]]:
    """The English texts of the dashboard, as patterns."""
    source = WORDS.read_text("utf-8")
    english = source[source.index("const en = {") : source.index("};")]
    texts = re.findall(r'^  (?:"([\w.-]+)"|(\w+)): "(.+)",$', english, re.MULTILINE)
    return {
        quoted or plain: re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text)))
        for quoted, plain, text in texts
    }


sources = pytest.mark.skipif(not WORDS.exists(), reason="The sources of the dashboard are missing.")


@sources
def test_every_detail_that_is_written_here_has_a_translation() -> None:
    known = patterns()
    texts = written()
    assert len({text for _, text in texts}) > 40
    without = [
        f"{name}: {text}"
        for name, text in texts
        if not any(pattern.fullmatch(text) for pattern in known.values())
    ]
    assert without == []


@sources
def test_every_translated_detail_is_written_here() -> None:
    """Except those of alerts and of the audit log, and those that are composed."""
    texts = {text for _, text in written()}
    elsewhere = ("alert.", "audit.", "takes.", "token.clock", "problem.")
    unused = [
        key
        for key, pattern in patterns().items()
        if not key.startswith(elsewhere) and not any(map(pattern.fullmatch, texts))
    ]
    assert unused == []


@sources
def test_the_title_of_every_http_problem_has_a_translation() -> None:
    titles = {f"problem.{kind}": ProblemError(400, kind, "").problem.title for kind in KINDS}
    known = {key: it.pattern for key, it in patterns().items() if key.startswith("problem.")}
    assert known == {key: re.escape(title) for key, title in titles.items()}


NUMBER: Final = ResourceType(kind="number")


@sources
@pytest.mark.parametrize(
    ("it", "value", "key"),
    [
        (NUMBER, "x", "takes.number"),
        (ResourceType(kind="number", minimum=1, maximum=2, unit="s"), 9, "takes.number_within"),
        (ResourceType(kind="number", minimum=1), 0, "takes.number_from"),
        (ResourceType(kind="number", maximum=1), 2, "takes.number_to"),
        (ResourceType(kind="number", unit="m"), "2 s", "takes.number_in"),
        (ResourceType(kind="text", minimum=1, maximum=2), "long", "takes.text_within"),
        (ResourceType(kind="text", minimum=1), "", "takes.text_from"),
        (ResourceType(kind="text", maximum=1), "long", "takes.text_to"),
        (ResourceType(kind="boolean"), "maybe", "takes.words"),
        (ResourceType(kind="enum", choices=("a or b", "c")), "d", "takes.choice"),
        (ResourceType(kind="position"), "here", "takes.position"),
        (ResourceType(kind="colour"), "mud", "takes.colour"),
        (ResourceType(kind="json"), "{", "takes.json"),
        (ResourceType(kind="vector"), "{", "takes.numbers"),
        (ResourceType(writable=False), "1", "read_only"),
    ],
)
def test_what_a_resource_takes_is_translated(it: ResourceType, value: object, key: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        encode(it, value)
    text = str(refusal.value)
    assert next(key for key, pattern in patterns().items() if pattern.fullmatch(text)) == key
