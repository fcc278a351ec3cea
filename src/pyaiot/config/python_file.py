# SPDX-License-Identifier: BSD-3-Clause
"""Settings files of the older system: Python assignments, parsed and never run. Pure."""

import ast
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError

BYTES_MAX: Final = 100_000
"""Largest file that is imported, in bytes. A larger one is refused."""
Scalar: TypeAlias = str | int | float | bool

SETTINGS: Final = MappingProxyType(
    {
        "broker_host": ("gateway.broker_host", "dashboard.broker_host", "client.broker_host"),
        "broker_port": (
            *("broker.port", "gateway.broker_port", "dashboard.broker_port"),
            "client.broker_port",
        ),
        "broker_ssl": ("gateway.broker_ssl", "dashboard.broker_ssl", "client.broker_ssl"),
        "key_file": ("broker.key_file", "gateway.key_file"),
        "coap_port": ("coap.port",),
        "mqtt_host": ("mqtt.host",),
        "mqtt_port": ("mqtt.port",),
        "gateway_port": ("websocket.port",),
        "web_port": ("dashboard.port",),
        "max_time": ("coap.silence_limit_s", "mqtt.silence_limit_s"),
        "interface": ("coap.interface",),
        "camera_url": ("dashboard.camera_url",),
        "static_path": ("dashboard.static_path",),
        "title": ("broker.title",),
        "logo": ("dashboard.logo",),
        "favicon": ("dashboard.favicon",),
        "debug": ("log.debug",),
    }
)
"""Options that an older settings file could set, and the settings of today."""
_NO_COUNTERPART: Final = MappingProxyType(
    {
        "map_api_key": "the map needs no key",
        "log_to_stderr": "logs always go to standard error",
        "log_file_prefix": "logs go to standard error; the service manager keeps them",
        "log_file_max_size": "logs go to standard error; the service manager keeps them",
        "log_file_num_backups": "logs go to standard error; the service manager keeps them",
    }
)
"""Options without a counterpart, and why."""
_MQTTSN_PORT: Final = 1885
"""The historic port of the MQTT-SN gateway, whose option had the same name as another option."""
OPTIONS: Final = frozenset({*SETTINGS, *_NO_COUNTERPART})


class Imported(msgspec.Struct, frozen=True):
    """The settings in a file of the older system."""

    values: dict[str, Scalar] = msgspec.field(default_factory=dict)
    """By the keys of the current settings."""
    notes: list[str] = msgspec.field(default_factory=list)
    """Sentences about what was left out or chosen."""


def is_python_file(text: str) -> bool:
    """Whether a text that should be TOML assigns options of the older system."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    names = {line.partition("=")[0].strip() for line in lines if "=" in line}
    return not any(line.startswith("[") for line in lines) and bool(names & OPTIONS)


def import_python(data: bytes) -> Imported:
    """Read the assignments of a file. Raises `ProtocolError` if it is not Python."""
    if len(data) > BYTES_MAX:
        raise ProtocolError(f"it has more than {BYTES_MAX} bytes")
    try:
        tree = ast.parse(data.decode("utf-8-sig"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ProtocolError(f"it is not a Python file{where}") from error
    imported = Imported()
    for name, value, line in _assignments(tree, imported.notes):
        _take(name, value, line, imported)
    if not imported.values:
        raise ProtocolError("it sets no option of the older system that has a counterpart")
    return imported


def _take(name: str, value: Scalar, line: int, imported: Imported) -> None:
    if name in _NO_COUNTERPART:
        imported.notes.append(f"{name} has no counterpart: {_NO_COUNTERPART[name]}.")
        return
    if name == "logging":
        imported.values["log.debug"] = str(value).lower() == "debug"
        return
    if name not in SETTINGS:
        imported.notes.append(f"line {line}: {name} has no counterpart.")
        return
    if value == "":
        return  # an empty value meant the default
    keys = SETTINGS[name]
    if name == "gateway_port" and str(value) == str(_MQTTSN_PORT):
        keys = ("mqttsn.port",)
    for key in keys:
        imported.values[key] = value


def _assignments(tree: ast.Module, notes: list[str]) -> Iterator[tuple[str, Scalar, int]]:
    """Names with their constants, and the line. Everything else gets a note."""
    for node in tree.body:
        if _is_text(node):
            continue  # a docstring
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, expression = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, expression = node.target, node.value
        else:
            notes.append(f"line {node.lineno} is not an assignment and is left out.")
            continue
        value = _constant(expression)
        if not isinstance(target, ast.Name) or value is None:
            notes.append(f"line {node.lineno} is not a plain value and is left out.")
        else:
            yield target.id, value, node.lineno


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _constant(node: ast.expr) -> Scalar | None:
    """The value of a text, number or boolean; None for everything else."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, str) and not _can_be_written(value):
            return None
        return value if isinstance(value, str | int | float) else None
    return None


def _can_be_written(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
