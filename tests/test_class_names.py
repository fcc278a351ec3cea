# SPDX-License-Identifier: BSD-3-Clause
"""One name, one idea: no two public classes or type aliases of the package share a name."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "pyaiot"

PACKETS = {"protocols/mqtt/packet.py", "protocols/mqtt/packets.py"}
PACKETS |= {f"protocols/mqttsn/{name}.py" for name in ("numbers", "packet", "packets")}
"""Both standards give their control packets these names."""

SAME_IDEA = {
    # The check of a part: gateways and the web side may not import each other.
    "Check": {"gateways/plugin.py", "web/readiness.py"},
    # The history raises it in the broker, the client library in the program that queries.
    "TooManyRows": {"client/errors.py", "history/store.py"},
}
"""Names that stand for the same idea in two modules, with the reason for two definitions."""


def public_types(text: str) -> Iterator[str]:
    for node in ast.parse(text).body:
        match node:
            case ast.ClassDef(name=name):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                pass
            case _:
                continue
        if not name.startswith("_"):
            yield name


_DEFINED = re.compile(r"(?m)^(?:class )?([A-Za-z]\w*)(?=\(|\[|:)")
"""At the start of a line: a class, or a name with a type."""


def shared(places: dict[str, set[str]]) -> dict[str, set[str]]:
    """Names that stand for more than one idea, with their modules."""
    return {
        name: modules
        for name, modules in places.items()
        if len(modules) > 1 and not modules <= PACKETS and modules != SAME_IDEA.get(name)
    }


@cache
def places_of_types() -> dict[str, set[str]]:
    """Of the names that several modules define, and of others in these modules."""
    texts = {path: path.read_text("utf-8") for path in SOURCE.rglob("*.py")}
    # To parse all modules takes long.
    found = defaultdict(set)
    for path, text in texts.items():
        for name in _DEFINED.findall(text):
            found[name].add(path)
    places = defaultdict(set)
    for path in set().union(*(paths for paths in found.values() if len(paths) > 1)):
        for name in public_types(texts[path]):
            places[name].add(path.relative_to(SOURCE).as_posix())
    return places


def test_no_two_public_types_share_a_name() -> None:
    assert shared(places_of_types()) == {}


def test_each_exception_is_still_needed() -> None:
    places = places_of_types()
    assert {name: places[name] for name in SAME_IDEA} == SAME_IDEA


def test_a_shared_name_is_found() -> None:
    assert list(public_types("class A: pass\nB: TypeAlias = int\nclass _C: pass\nD = 1")) == [
        "A",
        "B",
    ]
    places = {"Node": {"a.py", "b.py"}, "Packet": set(PACKETS), "Other": {"a.py"}}
    assert shared(places) == {"Node": {"a.py", "b.py"}}
