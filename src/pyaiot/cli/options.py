# SPDX-License-Identifier: BSD-3-Clause
"""Makes command line options of settings: type, default and help come from the setting."""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import typer

from pyaiot import config
from pyaiot.config import Config, LogSection, Setting, SettingFlag

_AND: Final = "__and__"


def parameter_name(keys: Iterable[str]) -> str:
    """The name of the parameter of a flag that sets these settings."""
    return _AND.join(key.replace(".", "__") for key in keys)


def keys_of(parameter: str) -> list[str]:
    """The settings that a parameter sets. The inverse of `parameter_name`."""
    return [name.replace("__", ".") for name in parameter.split(_AND)]


_NAMES: Final[dict[str, set[str]]] = {}
"""The flags of all commands, by the key of their setting."""


def option(
    setting: Setting,
    names: Iterable[str],
    *,
    also: Iterable[str] = (),
    help_: str = "",
    section: str | None = None,
) -> inspect.Parameter:
    """A keyword parameter that Typer turns into a flag. Its value is None if the flag is absent.

    `section`: of the help text.
    """
    names = tuple(names)
    _NAMES.setdefault(setting.key, set()).update(names)
    bare = setting.type
    while get_origin(bare) is Annotated:
        bare = get_args(bare)[0]
    is_list = get_origin(bare) is tuple
    type_: Any = list[str] if is_list else bare
    default = ", ".join(setting.default) if is_list else setting.default
    shown = "" if default in ("", False, None) else f" (default: {default})"
    description = help_ or setting.description
    option = typer.Option(
        *names, help=description + shown, show_default=False, rich_help_panel=section
    )
    return inspect.Parameter(
        parameter_name((setting.key, *also)),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[type_ | None, option],
        default=None,
    )


def options_of(
    flags: Iterable[SettingFlag], titles: Mapping[str, str] | None = None
) -> list[inspect.Parameter]:
    """The parameters of the flags of a command. `titles`: sections of help, by table."""
    known = {setting.key: setting for setting in config.settings()}
    titles = titles or {}
    return [
        option(
            known[flag.key],
            flag.names,
            also=flag.also,
            help_=flag.help,
            section=titles.get(known[flag.key].section),
        )
        for flag in flags
    ]


def with_options(
    function: Callable[..., None], options: Iterable[inspect.Parameter], doc: str | None
) -> Callable[..., None]:
    """Give the function the parameters and the help that Typer reads, and return it."""
    parameters = list(options)
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {item.name: item.annotation for item in parameters}
    function.__doc__ = doc
    return function


def summary(doc: str | None) -> str:
    """The first paragraph of a help text, for the list of commands."""
    return " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())


CONFIG_OPTION: Final = inspect.Parameter(
    "config_file",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Settings file (TOML). (default: ~/.config/pyaiot/config.toml, if it exists)",
            show_default=False,
        ),
    ],
    default=None,
)


def settings_file(named: Path | None) -> Path | None:
    """The settings file that `load` reads; None: there is none."""
    if named is None and "AIOT_CONFIG" in os.environ:
        return Path(os.environ["AIOT_CONFIG"])
    if named is None:
        default = config.default_file(os.environ)
        return default if default.exists() else None
    return named


def load(config_file: Path | None, given: Mapping[str, object]) -> tuple[Config, dict[str, str]]:
    """The settings from file, environment and flags, and the origin of each. See `config.load`."""
    path = settings_file(config_file)
    if path is not None or any(name.startswith("AIOT_") for name in os.environ):
        # File and environment may have settings of device protocols.
        from pyaiot.app import protocols as _protocols  # noqa: F401, PLC0415 - registers them
    flags = {
        key: value
        for name, value in given.items()
        if value not in (None, [])
        for key in keys_of(name)
    }
    return config.load(path, os.environ, flags, _given_names(flags))


def _given_names(keys: Iterable[str]) -> dict[str, str]:
    """By key, the flag that sets it in the command line."""
    words = {word.partition("=")[0] for word in sys.argv}
    return {key: name for key in keys for name in _NAMES.get(key, ()) if name in words}


_DEBUG: Final = Setting("log", "debug", bool, default=False, description="Log every step.")


def flags_of(settings: Mapping[str, Setting]) -> list[inspect.Parameter]:
    """One flag for each field of a settings struct, and `--debug`."""
    names = ((setting, ["--" + name.replace("_", "-")]) for name, setting in settings.items())
    return [*(option(setting, flags) for setting, flags in names), option(_DEBUG, ["--debug"])]


def values_of(
    given: dict[str, Any], settings: Mapping[str, Setting]
) -> tuple[LogSection, dict[str, Any]]:
    """The log settings and the values of the other flags. Raises `OperatorError`."""
    log = LogSection(debug=bool(given.pop("log__debug")))
    names = {name: name.partition("__")[2] for name in given}
    values = {
        names[name]: config.convert(
            value, settings[names[name]], "--" + names[name].replace("_", "-")
        )
        for name, value in given.items()
        if value is not None
    }
    return log, values
