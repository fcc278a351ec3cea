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
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from pyaiot.config.brokers import KEY_FILE, ClientSection, GatewaySection
from pyaiot.config.observability import LogSection, MetricsSection
from pyaiot.config.python_file import is_python_file
from pyaiot.config.section import ProtocolSection, Section
from pyaiot.config.sections import BrokerSection, DashboardSection, HistorySection
from pyaiot.errors import OperatorError, reason_of

__all__ = [
    "KEY_FILE",
    "BrokerSection",
    "ClientSection",
    "Config",
    "GatewaySection",
    "HistorySection",
    "LogSection",
    "MetricsSection",
    "ProtocolSection",
    "Setting",
    "SettingFlag",
    "convert",
    "data_folder",
    "default_file",
    "load",
    "register",
    "sections",
    "settings",
    "settings_of",
    "state_folder",
    "unregister",
]

_PROTOCOLS: dict[str, type[ProtocolSection]] = {}
"""The tables of the device protocols, filled by `app/protocols.py`."""
_AFTER: Final = "broker"
"""The section after which those of the protocols come."""

AnySection = TypeVar("AnySection", bound=ProtocolSection)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Sections are tables of the TOML file."""

    broker: BrokerSection = BrokerSection()
    gateway: GatewaySection = GatewaySection()
    client: ClientSection = ClientSection()
    history: HistorySection = HistorySection()
    dashboard: DashboardSection = DashboardSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
    protocols: tuple[ProtocolSection, ...] = ()
    """Sections of device protocols that differ from the default."""

    def with_sections(self, *sections: ProtocolSection) -> "Config":
        """The same with these sections of device protocols."""
        others = tuple(it for it in self.protocols if type(it) not in map(type, sections))
        return msgspec.structs.replace(self, protocols=(*others, *sections))

    def of(self, kind: type[AnySection]) -> AnySection:
        """The section of a device protocol."""
        for section in self.protocols:
            if isinstance(section, kind):
                return section
        return kind()

    def value(self, setting: "Setting") -> Any:
        """The value of a setting."""
        kind = _PROTOCOLS.get(setting.section)
        section = getattr(self, setting.section) if kind is None else self.of(kind)
        return getattr(section, setting.name)


def register(section: type[ProtocolSection]) -> None:
    """Add the table of a device protocol to the settings."""
    _PROTOCOLS[section.table] = section


def unregister(section: type[ProtocolSection]) -> None:
    """Remove the table of a device protocol from the settings."""
    del _PROTOCOLS[section.table]


def sections() -> dict[str, type[Section]]:
    """Every section by the name of its table, in the order of the documentation."""
    known: dict[str, type[Section]] = {}
    for field in msgspec.structs.fields(Config):
        if field.name != "protocols":
            known[field.name] = field.type
        if field.name == _AFTER:
            known |= _PROTOCOLS
    return known


@dataclass(frozen=True, slots=True)
class SettingFlag:
    """A flag that gives a setting its value. `names` begin with `--`; the first is shown first."""

    names: tuple[str, ...]
    key: str
    """The setting: `section.name`."""
    also: tuple[str, ...] = ()
    """Settings of the same type that get the value too."""
    help: str = ""
    """Instead of the description of the setting."""


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
    """Every setting there is, in the order of `sections`."""
    for name, section in sections().items():
        yield from settings_of(section, name)


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
    core = {name: values.get(name, {}) for name in sections() if name not in _PROTOCOLS}
    protocols = tuple(
        msgspec.convert(values[name], kind) for name, kind in _PROTOCOLS.items() if name in values
    )
    config = msgspec.convert(core, Config)
    return msgspec.structs.replace(config, protocols=protocols), origins


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
        text = path.read_text(encoding="utf-8")
        if is_python_file(text):
            raise OperatorError(
                f"{path} is a Python settings file of an older version: write its options as TOML"
                " (docs/how-to/legacy.md has the names)."
            )
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"The settings file {path} cannot be read: {reason_of(error)}."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"The settings file {path} is not TOML: {error}.") from error
    for section, content in table.items():
        if not isinstance(content, dict):
            raise OperatorError(f"{path}: {section} stands outside of a [section].")
        if not content and section not in sections():
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
