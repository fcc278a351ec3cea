# SPDX-License-Identifier: BSD-3-Clause
"""Every setting of every service: one value with its default, its limits and its origin.

File < environment (`AIOT_<SECTION>_<NAME>`) < flag. Unknown names are refused.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from pyaiot.config.brokers import KEY_FILE, ClientSection, GatewaySection
from pyaiot.config.observability import LogSection, MetricsSection
from pyaiot.config.sections import (
    BrokerSection,
    CoapSection,
    Config,
    HistorySection,
    MqttSection,
    MqttsnSection,
    WebsocketSection,
)
from pyaiot.errors import OperatorError, reason_of

__all__ = [
    "KEY_FILE",
    "BrokerSection",
    "ClientSection",
    "CoapSection",
    "Config",
    "GatewaySection",
    "HistorySection",
    "LogSection",
    "MetricsSection",
    "MqttSection",
    "MqttsnSection",
    "Setting",
    "WebsocketSection",
    "convert",
    "data_folder",
    "default_file",
    "load",
    "settings",
    "settings_of",
    "state_folder",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: where it stands, its type, its default, and what it does."""

    section: str
    name: str
    type: Any
    default: Any
    description: str

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"AIOT_{self.section}_{self.name}".upper()


def settings() -> Iterator[Setting]:
    """Every setting there is, in the order of the classes above."""
    for section in msgspec.structs.fields(Config):
        yield from settings_of(section.type, section.name)


def settings_of(struct: type[msgspec.Struct], section: str) -> Iterator[Setting]:
    """The settings of one class whose fields are described with `Meta`."""
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        default: object = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        yield Setting(
            section, field.name, hints[field.name], default, _description(hints[field.name])
        )


def load(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[Config, dict[str, str]]:
    """The settings, and for each key (`section.name`) where its value came from.

    `path` None: the default file, if there is one. Raises `OperatorError` for what is wrong.
    """
    known = {setting.key: setting for setting in settings()}
    values: dict[str, dict[str, object]] = {}
    origins = dict.fromkeys(known, "default")
    for source, key, value in (
        *_from_file(path),
        *_from_environment(environ, known),
        *(("flag", key, value) for key, value in flags.items()),
    ):
        setting = known.get(key)
        if setting is None:
            raise OperatorError(f"{source}: there is no setting {_unknown(key, known)}")
        section = values.setdefault(setting.section, {})
        section[setting.name] = convert(value, setting, source)
        origins[key] = source
    return msgspec.convert(values, Config), origins


def convert(value: object, setting: Setting, source: str) -> object:
    """A value of the setting's type, from text if need be. Raises `OperatorError`."""
    if isinstance(value, str) and get_origin(_bare(setting.type)) in (tuple, dict):
        words = [word.strip() for word in value.split(",") if word.strip()]
        pairs = [word.partition("=") for word in words]
        is_table = get_origin(_bare(setting.type)) is dict
        value = {key.strip(): text.strip() for key, _, text in pairs} if is_table else words
    try:
        return msgspec.convert(value, setting.type, strict=False)
    except msgspec.ValidationError as error:
        shown = f"{value!r:.60}"
        raise OperatorError(
            f"{source}: {setting.key} is {shown}, but it must be {expected(str(error))}."
        ) from error


_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a table",
}
_RANGES: Final = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than"}


def expected(error: str) -> str:
    """What a value must be, of what msgspec says of one that is not."""
    error = error.partition(" - at ")[0]
    if found := re.fullmatch(r"Expected `\w+` (of length )?([<>]=?) ([-+.\w]+)", error):
        length, relation, limit = found.groups()
        of = " characters long" if length else ""
        return f"{_RANGES[relation]} {limit.removesuffix('.0')}{of}"
    if found := re.fullmatch(r"Expected `(\w+)`(, got `\w+`)?", error):
        return _KINDS.get(found[1], found[1])
    return error[:1].lower() + error[1:]


def _unknown(name: str, known: Iterable[str]) -> str:
    """A name that is not known, with one that may be meant."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"{name} (did you mean {close[0]}?)." if close else f"{name} (aiot config --show)."


def default_file(environ: Mapping[str, str]) -> Path:
    """The settings file that is read when none is named."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "pyaiot" / "config.toml"


def data_folder(environ: Mapping[str, str]) -> Path:
    """Where services keep what they store, each in a folder of its own."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "pyaiot"


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where commands keep what they may lose: logins, and who is registered at a gateway."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "pyaiot"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    base = environ.get(variable) or os.path.join(  # noqa: PTH118 - may be unset
        environ.get("HOME", "~"), default
    )
    return Path(base).expanduser()


def _from_file(path: Path | None) -> Iterator[tuple[str, str, object]]:
    if path is None:
        return
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"The settings file {path} cannot be read: {reason_of(error)}."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"The settings file {path} is not TOML: {error}.") from error
    for section, content in table.items():
        if not isinstance(content, dict):
            raise OperatorError(f"{path}: {section} stands outside of a [section].")
        if not content and section not in Config.__struct_fields__:
            raise OperatorError(f"{path}: there is no section [{section}].")
        for name, value in content.items():
            yield str(path), f"{section}.{name}", value


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Setting]
) -> Iterator[tuple[str, str, object]]:
    by_variable = {setting.variable: key for key, setting in known.items()}
    for variable, value in environ.items():
        if variable in by_variable:
            yield variable, by_variable[variable], value
        elif variable.startswith("AIOT_") and variable != "AIOT_CONFIG":
            raise OperatorError(f"There is no variable {_unknown(variable, by_variable)}")


def _bare(type_: Any) -> Any:
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _description(type_: Any) -> str:
    metas = [meta for meta in get_args(type_)[1:] if isinstance(meta, Meta)]
    return next((meta.description for meta in metas if meta.description), "")
