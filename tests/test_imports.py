# SPDX-License-Identifier: BSD-3-Clause
"""The architecture as a table: which package may import which, and which modules are pure."""

import ast
import gc
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from pyaiot.cli import entry
from pyaiot.cli.app import MODULES, _modules_of

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pyaiot"

MAY_IMPORT = {
    "errors": set(),
    "metrics": set(),
    "redaction": set(),
    "readings": {"errors"},
    # What a resource is, for every part that reads or writes one.
    "model": {"errors", "readings"},
    "exact_json": {"readings"},
    "postgres": {"errors"},
    # The legacy wire and the gateways both read number and unit beside the text.
    "messages": {"errors", "model", "readings"},
    "backlog": {"errors", "messages"},
    "legacy": {"errors", "exact_json", "messages"},
    "links": {"backlog", "errors", "legacy", "messages"},
    "config": {"errors"},
    "protocols": {"errors", "exact_json"},
    "systemd": {"errors"},
    "transport": {"errors", "protocols"},
    # Gateways and simulated nodes are both clients of an MQTT broker.
    "mqtt": {"errors", "protocols", "transport"},
    # Gateways check the credentials of devices.
    "gateways": {
        *(
            "accounts",
            "backlog",
            "config",
            "errors",
            "exact_json",
            "links",
            "messages",
            "metrics",
            "model",
            "mqtt",
            "protocols",
            "readings",
        ),
        "transport",
    },
    # The modules `gateways/*/plugin.py`, which also name the simulated and virtual nodes.
    "plugin": {"config", "devices", "fleet", "gateways", "metrics"},
    "accounts": {"errors", "postgres"},
    # Given to the broker and to the web side; the command line appends to its files.
    "audit": {"errors", "metrics", "postgres", "transport"},
    # Given to the broker, and to the web side, which edits it.
    "registry": {"errors", "messages", "metrics", "model", "postgres", "redaction"},
    "alerts": {"audit", "broker", "errors", "messages", "metrics", "registry", "transport"},
    "broker": {
        *("accounts", "audit", "backlog", "errors", "legacy", "links", "messages", "metrics"),
        *("model", "registry", "transport"),
    },
    # A broker that is one of several; only `app` makes one.
    "cluster": {
        *("accounts", "audit", "broker", "errors", "messages", "metrics", "protocols", "registry"),
        "transport",
    },
    # An ordinary consumer of the broker's messages: it is given to the broker, and knows none.
    "history": {"backlog", "errors", "messages", "metrics", "postgres", "redaction"},
    # The web side of the broker: HTTP and WebSockets in front of it.
    "web": {
        *("accounts", "alerts", "audit", "backlog", "broker", "errors", "history", "legacy"),
        "links",
        *("messages", "metrics", "model", "postgres"),
        # SenML is a form of answers.
        *("protocols", "registry", "transport"),
    },
    # A subscriber of the broker, and a client of the MQTT broker that Home Assistant uses.
    "homeassistant": {
        *("accounts", "audit", "broker", "errors", "messages", "metrics", "model", "mqtt"),
        "transport",
    },
    "devices": {"errors", "messages", "mqtt", "protocols", "transport"},
    # What users import: it knows the messages, and no other part of the path.
    "client": {"backlog", "errors", "links", "messages", "model", "transport"},
    "fleet": {"client", "devices", "errors", "messages", "mqtt", "protocols", "transport"},
    # Copies what the other parts keep. It knows their files and schemas, and runs nothing.
    "backup": {"accounts", "config", "errors", "history", "redaction", "registry"},
    # `app` builds the real objects, so it sees everything below it.
    "app": {
        *(
            "accounts",
            "alerts",
            "audit",
            "backup",
            "broker",
            "cluster",
            "config",
            "devices",
            "errors",
            "fleet",
        ),
        "gateways",
        *(
            "history",
            "homeassistant",
            "links",
            "legacy",
            "messages",
            "metrics",
            "model",
            "mqtt",
            "protocols",
            "readings",
            "redaction",
        ),
        *("registry", "systemd", "transport", "web"),
    },
    "doctor": {
        *("app", "backup", "broker", "client", "config", "errors", "gateways", "history"),
        *("homeassistant", "mqtt"),
        *("postgres", "protocols", "redaction", "transport"),
    },
    "cli": {
        *(
            "accounts",
            "app",
            "audit",
            "backup",
            "broker",
            "client",
            "config",
            "devices",
            "doctor",
            "errors",
            "fleet",
        ),
        "gateways",
        # A file of names is checked with the rules of the registry.
        *("messages", "model", "redaction", "registry", "systemd", "transport"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}
"""Station → the stations that it may import besides itself. Every module may import the version."""

PURE_PACKAGES = {
    *("backlog", "errors", "exact_json", "legacy", "messages", "metrics", "model", "protocols"),
    *("readings", "redaction"),
}
"""Stations of which every module is pure."""

VALUES = {"cryptography", "lakers", "msgspec"}
"""What protocols may use besides the standard library: they compute values and do nothing else."""

DOING = {
    *("asyncio", "selectors", "select", "socket", "socketserver", "ssl", "subprocess"),
    *("concurrent", "multiprocessing", "signal", "threading", "time", "sched"),
    *("datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow"),
    "datetime.date.today",
}
"""What pure modules do without: sockets, clocks, tasks and processes of the standard library."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def station_of(path: Path) -> str:
    """`broker` for src/pyaiot/broker/router.py, `readings` for src/pyaiot/readings.py."""
    if path.name == "plugin.py":
        return "plugin"
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """`broker/router` for src/pyaiot/broker/router.py."""
    return path.relative_to(SOURCE).with_suffix("").as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """A module of the package, parsed once for all tests."""
    return ast.parse(path.read_text("utf-8"))


@cache
def is_pure(path: Path) -> bool:
    """Whether the docstring of a module, or of a package that it is in, has the word "Pure": bytes
    and `now` go in, values come out."""
    packages = (folder / "__init__.py" for folder in path.parents if folder.is_relative_to(SOURCE))
    docstrings = (ast.get_docstring(tree_of(at)) for at in {path, *packages} if at.exists())
    return any(re.search(r"\bPure\b", docstring or "") for docstring in docstrings)


def statements(node: ast.AST, *, for_type_checker: bool = True) -> Iterator[ast.AST]:
    """All statements of a module, without the expressions in them, which are ten times as many.

    `for_type_checker`: also those after `if TYPE_CHECKING`.
    """
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, field, ()):
            match child:
                case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not for_type_checker:
                    continue
            yield child
            yield from statements(child, for_type_checker=for_type_checker)


@cache
def imports_of(path: Path, text: str | None) -> tuple[tuple[int, str], ...]:
    """Line and dotted name of each thing that a module imports, relative imports resolved."""
    return tuple(_imports_of(path, text))


def _imports_of(path: Path, text: str | None) -> Iterator[tuple[int, str]]:
    package = ("pyaiot", *path.relative_to(SOURCE).parts[:-1])
    tree = tree_of(path) if text is None else ast.parse(text)
    source = path.read_text("utf-8") if text is None else text
    has_expressions = re.search(r"\b(?:type_at|function_at|datetime|date)\b", source)
    for node in ast.walk(tree) if has_expressions else statements(tree):
        match node:
            case ast.Import(names=names):
                for name in names:
                    yield node.lineno, name.name
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else ()
                origin = ".".join((*base, *([module] if module else [])))
                for name in names:
                    yield node.lineno, f"{origin}.{name.name}"
            case ast.Call(
                func=ast.Name(id="type_at" | "function_at"), args=[ast.Constant(value=str(name))]
            ):
                yield node.lineno, name.replace(":", ".")
            case ast.Attribute(value=ast.Name(id="datetime" | "date" as name), attr=attribute):
                yield node.lineno, f"datetime.{name}.{attribute}"


def forbidden(path: Path, text: str | None = None) -> list[str]:
    """What a module imports against the table, each as `file:line: sentence`."""
    station = station_of(path)
    found = []
    for line, name in imports_of(path, text):
        where = f"{path.relative_to(ROOT)}:{line}"
        top, *rest = name.split(".")
        if top == "pyaiot":
            other = rest[0] if rest else ""
            if other not in {station, "__version__", *MAY_IMPORT[station]}:
                found.append(f"{where}: {station} must not import {other or 'the whole package'}")
        elif is_pure(path) and {top, name} & DOING:
            found.append(f"{where}: {module_of(path)} is pure and must not use {name}")
        elif station == "protocols" and top not in {*sys.stdlib_module_names, *VALUES}:
            found.append(f"{where}: protocols do without {top}")
    return list(dict.fromkeys(found))


def test_every_module_has_a_place_in_the_table() -> None:
    assert {station_of(path) for path in modules()} <= set(MAY_IMPORT)


def test_every_module_of_these_packages_is_pure() -> None:
    pure = {path for path in modules() if is_pure(path)}
    assert {path for path in modules() if station_of(path) in PURE_PACKAGES} <= pure
    assert len(pure) > 250


def test_no_module_imports_against_the_table() -> None:
    found = [line for path in modules() for line in forbidden(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("protocols/x.py", "import socket"),
        ("protocols/x.py", "from time import monotonic"),
        ("protocols/x.py", "def f():\n    import asyncio"),
        ("protocols/x.py", "from datetime import datetime\nat = datetime.now()"),
        ("protocols/x.py", "import aiocoap"),
        ("protocols/x.py", "from pyaiot.messages import Reading"),
        ("protocols/x.py", "from .. import messages"),
        ("protocols/x.py", "from ..messages import Reading"),
        ("messages/codec.py", "import asyncio.streams"),
        ("broker/x.py", "from pyaiot.gateways.live_nodes import Nodes"),
        ("broker/x.py", "import pyaiot.web"),
        ("broker/x.py", "import pyaiot"),
        ("web/x.py", "from pyaiot.app import services"),
        ("gateways/coap/x.py", "from ...app.services import run"),
    ],
)
def test_an_import_against_the_table_is_found(place: str, text: str) -> None:
    assert len(forbidden(SOURCE / place, text)) == 1


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("protocols/x.py", "import struct\nfrom pyaiot.errors import ProtocolError"),
        ("protocols/x.py", "from datetime import datetime\nat = datetime.fromtimestamp(0)"),
        ("protocols/x.py", "from .link_format import parse_links"),
        ("gateways/coap/x.py", "import asyncio\nfrom ..live_nodes import LiveNodes"),
        ("broker/x.py", "from pyaiot import __version__, messages"),
    ],
)
def test_an_import_by_the_table_is_allowed(place: str, text: str) -> None:
    assert forbidden(SOURCE / place, text) == []


def test_a_dotted_name_counts_as_an_import() -> None:
    place = SOURCE / "gateways/coap/plugin.py"
    assert len(forbidden(place, 'open = function_at("pyaiot.web.app:open")')) == 1
    assert (
        forbidden(place, 'open = type_at("pyaiot.devices.coap_node_config:CoapNodeConfig")') == []
    )


def test_every_dotted_name_of_a_plugin_exists() -> None:
    names = [
        node.args[0].value
        for path in SOURCE.glob("gateways/*/plugin.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"type_at", "function_at"}
        and isinstance(node.args[0], ast.Constant)
    ]
    assert len(names) > 4 * 4
    for name in names:
        assert callable(pkgutil.resolve_name(str(name)))


def test_only_commands_import_what_builds_the_services() -> None:
    assert [name for name, allowed in MAY_IMPORT.items() if "app" in allowed] == ["doctor", "cli"]


def test_the_table_has_no_circles() -> None:
    left = {station: set(allowed) for station, allowed in MAY_IMPORT.items()}
    while free := {station for station, allowed in left.items() if not allowed & left.keys()}:
        left = {station: allowed for station, allowed in left.items() if station not in free}
    assert left == {}


def imported_when_run(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what a module imports when it runs: without imports for the type checker."""
    for node in statements(tree, for_type_checker=False):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)


def circles(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left of a graph when all modules are removed that import none of those left, or that
    none of those left import."""
    left = imports
    while True:
        used = set().union(*left.values())
        kept = {
            name: others & left.keys()
            for name, others in left.items()
            if others & left.keys() and name in used
        }
        if kept == left:
            return left
        left = kept


def test_circles_of_modules_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b": {"c"}, "c": {"b"}}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {
        path: f"pyaiot.{module_of(path).replace('/', '.')}".removesuffix(".__init__")
        for path in modules()
    }
    known = set(names.values())
    imports = {}
    for path, name in names.items():
        found = imported_when_run(tree_of(path))
        # `from package import module` names a module; `from module import name` a part of one.
        of_module = {other if other in known else other.rpartition(".")[0] for other in found}
        imports[name] = (of_module & known) - {name}
    assert circles(imports) == {}


def test_every_distribution_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    wanted = [*project["dependencies"], *extras]
    names = (re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted)
    # A distribution whose package has another name.
    packages = {"argon2-cffi": "argon2", "pyopenssl": "OpenSSL", "lakers-python": "lakers"}
    declared = {packages.get(name, name.replace("-", "_")) for name in names}
    imported = {
        name.split(".")[0]
        for path in modules()
        for _, name in imports_of(path, None)
        if name.split(".")[0] not in {"pyaiot", *sys.stdlib_module_names}
    }
    assert imported <= declared


SERVICE: Final = (
    *("pyaiot.cli.app", "pyaiot.cli.services", "pyaiot.app.services"),
    *("pyaiot.gateways.coap.service", "pyaiot.gateways.mqtt.service"),
    *("pyaiot.gateways.mqtt.shared_broker", "pyaiot.gateways.mqttsn.service"),
    "pyaiot.gateways.websocket.service",
)
"""What `aiot run` imports before it opens its listeners."""
SERVICE_MODULES_MAX: Final = 440
"""Modules of `pyaiot` among them. Each costs every start half a millisecond, and 30 kB of memory as
long as the service runs."""


def test_help_of_a_service_loads_no_other_command() -> None:
    assert _modules_of(["run"]) == _modules_of(["coap-gateway", "--help"]) == ("services",)
    assert _modules_of(["no-such-command"]) == _modules_of([]) == MODULES


def test_a_service_holds_no_package_that_only_others_need() -> None:
    """Each would stay in memory as long as the service runs: pydantic alone takes 9 MB."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {', '.join(SERVICE)}"],
        capture_output=True,
        check=True,
        text=True,
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    packages = {name.partition(".")[0] for name in loaded}
    assert {"typer", "aiohttp"} <= packages
    assert not packages & {
        "argon2",
        "pydantic",
        "rich",
        "segno",
        "asyncpg",
        "cryptography",
        "prometheus_client",
        # Of the standard library: for a settings file, a key file, a query with a time zone.
        *("configparser", "tomllib", "zipfile", "zoneinfo"),
    }
    assert not loaded & {"pyaiot.app.demo", "pyaiot.fleet.config", "pyaiot.fleet.fleet"}
    assert sum(name.startswith("pyaiot.") for name in loaded) <= SERVICE_MODULES_MAX


# -- imports of a command -----------------------------------------------------------------------

CLIENT_MODULES_MAX: Final = 60
"""Modules of `pyaiot` that `aiot get` imports. Each costs every call of a script some time: the
eight of `model` take 2 ms together."""


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command imports in a separate process."""
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['aiot', *{arguments!r}]\n"
        "try:\n"
        "    runpy.run_module('pyaiot', run_name='__main__')\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    environment = {"PATH": "/usr/bin", "HOME": "/nowhere"}
    ended = subprocess.run(
        (sys.executable, "-c", script), env=environment, capture_output=True, text=True, check=False
    )
    return set(ended.stderr.splitlines()[-1].split())


def test_a_client_command_imports_no_service() -> None:
    loaded = imported_by("get", "lamp", "led", "--broker-port", "1")
    ours = {name for name in loaded if name.split(".")[0] == "pyaiot"}
    services = {"app.protocols", "app.services", "broker", "devices", "fleet", "gateways"}
    services |= {"history", "mqtt", "protocols", "web"}
    assert not ours & {f"pyaiot.{name}" for name in services}
    assert not loaded & {"aiocoap", "aiohttp.web", "cryptography", "sqlite3", "uvloop"}
    assert "pyaiot.client.client" in ours
    assert len(ours) <= CLIENT_MODULES_MAX


def test_the_version_is_printed_without_the_command_line() -> None:
    loaded = imported_by("--version")
    assert not loaded & {"typer", "msgspec", "asyncio", "pyaiot.cli.app"}


def test_a_command_rarely_looks_for_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_threshold()
    seen: list[int] = []
    monkeypatch.setattr("pyaiot.cli.app.run", lambda _words: seen.append(gc.get_threshold()[0]))
    monkeypatch.setattr("sys.argv", ["aiot", "get"])
    try:
        entry.main()
    finally:
        gc.set_threshold(*before)
    assert seen == [entry.GARBAGE_OBJECTS]
