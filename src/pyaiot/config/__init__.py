# SPDX-License-Identifier: BSD-3-Clause
"""The settings of all services, each with its type, default, limits and origin.

A flag overrides the environment (`AIOT_<SECTION>_<NAME>`), which overrides the file. Unknown names
are refused.
"""

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from pyaiot.config.homeassistant import HomeassistantSection
from pyaiot.config.section import (
    BROKERS_USER,
    ClusterSection,
    ProtocolSection,
    Section,
    WorkersCluster,
)
from pyaiot.config.sections import (
    KEY_FILE,
    AlertsSection,
    AuditSection,
    BrokerSection,
    ClientSection,
    DashboardSection,
    DevicesSection,
    GatewaySection,
    HistorySection,
    LogSection,
    MdnsSection,
    MetricsSection,
    RegistrySection,
    TlsSection,
)
from pyaiot.errors import TEXT_FILE_ENCODING, OperatorError, expected, reason_of

__all__ = [
    "BROKERS_USER",
    "KEY_FILE",
    "AlertsSection",
    "AuditSection",
    "BrokerSection",
    "ClientSection",
    "ClusterSection",
    "Config",
    "DevicesSection",
    "GatewaySection",
    "HistorySection",
    "HomeassistantSection",
    "LogSection",
    "MdnsSection",
    "MetricsSection",
    "ProtocolSection",
    "RegistrySection",
    "Setting",
    "SettingFlag",
    "TlsSection",
    "WorkersCluster",
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
"""The sections of the device protocols, registered by `app/protocols.py`."""
_AFTER: Final = "broker"
"""The sections of the device protocols are listed after this one."""

AnySection = TypeVar("AnySection", bound=ProtocolSection)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Each section is a table of the TOML file."""

    broker: BrokerSection = BrokerSection()
    gateway: GatewaySection = GatewaySection()
    devices: DevicesSection = DevicesSection()
    client: ClientSection = ClientSection()
    history: HistorySection = HistorySection()
    registry: RegistrySection = RegistrySection()
    audit: AuditSection = AuditSection()
    alerts: AlertsSection = AlertsSection()
    dashboard: DashboardSection = DashboardSection()
    homeassistant: HomeassistantSection = HomeassistantSection()
    mdns: MdnsSection = MdnsSection()
    cluster: ClusterSection = ClusterSection()
    tls: TlsSection = TlsSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
    protocols: tuple[ProtocolSection, ...] = ()
    """The sections of device protocols that are not at their defaults."""

    def with_sections(self, *sections: ProtocolSection) -> "Config":
        """A copy with these sections of device protocols."""
        others = tuple(it for it in self.protocols if type(it) not in map(type, sections))
        return msgspec.structs.replace(self, protocols=(*others, *sections))

    def of(self, kind: type[AnySection]) -> AnySection:
        """The section of a device protocol."""
        for section in self.protocols:
            if isinstance(section, kind):
                return section
        return kind()

    def with_values(self, values: Mapping[str, object]) -> "Config":
        """A copy with these values, by the keys of their settings (`section.name`)."""
        config = self
        for key, value in values.items():
            section, _, name = key.partition(".")
            kind = _PROTOCOLS.get(section)
            if kind is not None:
                config = config.with_sections(
                    msgspec.structs.replace(config.of(kind), **{name: value})
                )
            else:
                changed = msgspec.structs.replace(getattr(config, section), **{name: value})
                config = msgspec.structs.replace(config, **{section: changed})
        return config

    def value(self, setting: "Setting") -> Any:
        """The value of a setting."""
        kind = _PROTOCOLS.get(setting.section)
        section = getattr(self, setting.section) if kind is None else self.of(kind)
        return getattr(section, setting.name)


def register(section: type[ProtocolSection]) -> None:
    """Add the section of a device protocol to the settings."""
    _PROTOCOLS[section.table] = section


def unregister(section: type[ProtocolSection]) -> None:
    """Remove the section of a device protocol from the settings."""
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


class SettingFlag(msgspec.Struct, frozen=True):
    """A flag that sets a setting. The `names` begin with `--`, and help lists them in order."""

    names: tuple[str, ...]
    key: str
    """The key of the setting: `section.name`."""
    also: tuple[str, ...] = ()
    """Settings of the same type that get the same value."""
    help: str = ""
    """Help text, if it differs from the description of the setting."""


class Setting(msgspec.Struct, frozen=True):
    """One setting: its section, name, type, default and description."""

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
    """All settings, in the order of `sections`."""
    for name, section in sections().items():
        yield from settings_of(section, name)


def settings_of(struct: type[msgspec.Struct], section: str) -> tuple[Setting, ...]:
    """The settings of a struct whose fields have descriptions in `Meta`."""
    return _settings_of(struct, section)


@functools.cache
def _settings_of(struct: type[msgspec.Struct], section: str) -> tuple[Setting, ...]:
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for field in msgspec.structs.fields(struct):
        default: object = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        hint = hints[field.name]
        found.append(Setting(section, field.name, hint, default, _description(hint)))
    return tuple(found)


def load(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    flag_names: Mapping[str, str] | None = None,
) -> tuple[Config, dict[str, str]]:
    """The settings, and the origin of each value by its key (`section.name`).

    `path` None: no file is read. `flag_names`: the flags as they were given, by key, for errors.
    Raises `OperatorError` for an invalid or unknown setting.
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
        named = (flag_names or {}).get(key, source) if source == "flag" else source
        section[setting.name] = convert(value, setting, named)
        origins[key] = source
    core = {name: values.get(name, {}) for name in sections() if name not in _PROTOCOLS}
    protocols = tuple(
        msgspec.convert(values[name], kind) for name, kind in _PROTOCOLS.items() if name in values
    )
    config = msgspec.convert(core, Config)
    return msgspec.structs.replace(config, protocols=protocols), origins


def convert(value: object, setting: Setting, source: str) -> object:
    """Convert a value, which may be text, to the type of the setting. Raises `OperatorError`."""
    if isinstance(value, str) and get_origin(_bare(setting.type)) in (tuple, dict):
        words = _words(value.split(","))
        pairs = [word.partition("=") for word in words]
        is_table = get_origin(_bare(setting.type)) is dict
        value = {key.strip(): text.strip() for key, _, text in pairs} if is_table else words
    elif source.startswith(("--", "flag")) and isinstance(value, (list, tuple)):
        value = _words(value)  # `--allowed-host ""` is an empty list, as in a variable
    try:
        return msgspec.convert(value, setting.type, strict=False)
    except msgspec.ValidationError as error:
        shown = f"{value!r:.60}"
        choices = (
            get_args(_bare(setting.type)) if get_origin(_bare(setting.type)) is Literal else ()
        )
        needed = " or ".join(map(repr, choices)) or expected(str(error))
        raise OperatorError(
            f"{source}: {setting.key} is {shown}, but it must be {needed}."
        ) from error


def _words(given: Iterable[str]) -> list[str]:
    return [word.strip() for word in given if word.strip()]


def _unknown(name: str, known: Iterable[str]) -> str:
    """An unknown name, with a similar one or a hint where to find all names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"{name} (did you mean {close[0]}?)." if close else f"{name} (aiot config --show)."


def default_file(environ: Mapping[str, str]) -> Path:
    """The settings file that is read if none is named.

    systemd names its folder in `CONFIGURATION_DIRECTORY`.
    """
    if folder := environ.get("CONFIGURATION_DIRECTORY"):
        return Path(folder.partition(":")[0]) / "config.toml"
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "pyaiot" / "config.toml"


def data_folder(environ: Mapping[str, str]) -> Path:
    """The folder in which services store data. systemd names it in `STATE_DIRECTORY`."""
    if folder := environ.get("STATE_DIRECTORY"):
        return Path(folder.partition(":")[0])
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "pyaiot"


def state_folder(environ: Mapping[str, str]) -> Path:
    """The folder for state that may be lost: sign-in sessions, registrations at a gateway."""
    if environ.get("STATE_DIRECTORY"):
        return data_folder(environ) / "state"
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "pyaiot"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    base = Path(environ.get(variable, "")).expanduser()
    if not base.is_absolute():  # the standard of these variables ignores it then
        base = Path(environ.get("HOME", "~"), default).expanduser()
    return base


def _from_file(path: Path | None) -> Iterator[tuple[str, str, object]]:
    if path is None:
        return
    # Without a settings file, neither is needed.
    import tomllib  # noqa: PLC0415

    from pyaiot.config.python_file import is_python_file  # noqa: PLC0415

    try:
        text = path.read_text(encoding=TEXT_FILE_ENCODING)
        if is_python_file(text):
            raise OperatorError(
                f"{path} is a Python settings file of an older version: aiot config --import"
                f" {path} prints it as TOML."
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
            raise OperatorError(f"{path}: {section} is outside of a [section].")
        if not content and section not in sections():
            raise OperatorError(f"{path}: there is no section [{section}].")
        for name, value in content.items():
            yield str(path), f"{section}.{name}", value


_NOT_SETTINGS: Final = frozenset(
    {"AIOT_CONFIG", "AIOT_TOKEN", "AIOT_GATEWAY_TOKEN", "AIOT_CA_FILE"}
)
"""Variables of the settings file, of the tokens of a client and of a gateway, and of the
certificates that clients trust."""


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Setting]
) -> Iterator[tuple[str, str, object]]:
    by_variable = {setting.variable: key for key, setting in known.items()}
    for variable, value in environ.items():
        if variable in by_variable:
            yield variable, by_variable[variable], value
        elif variable.startswith("AIOT_") and variable not in _NOT_SETTINGS:
            raise OperatorError(f"There is no variable {_unknown(variable, by_variable)}")


def _bare(type_: Any) -> Any:
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _description(type_: Any) -> str:
    metas = [meta for meta in get_args(type_)[1:] if isinstance(meta, Meta)]
    return next((meta.description for meta in metas if meta.description), "")
