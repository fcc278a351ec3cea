# SPDX-License-Identifier: BSD-3-Clause
"""Flags are declared once, as names of settings; type, default and help come from the setting."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import typer

from pyaiot import config
from pyaiot.config import Config, LogSection, Setting, SettingFlag

_AND: Final = "__and__"


def parameter_name(keys: Iterable[str]) -> str:
    """The parameter of a flag that gives these settings their value."""
    return _AND.join(key.replace(".", "__") for key in keys)


def keys_of(parameter: str) -> list[str]:
    """The settings that a parameter of a flag stands for."""
    return [name.replace("__", ".") for name in parameter.split(_AND)]


def option(
    setting: Setting, names: Iterable[str], *, also: Iterable[str] = (), help_: str = ""
) -> inspect.Parameter:
    """A keyword parameter that Typer turns into a flag. None: the flag was not given."""
    bare = setting.type
    while get_origin(bare) is Annotated:
        bare = get_args(bare)[0]
    is_list = get_origin(bare) is tuple
    type_: Any = list[str] if is_list else bare
    default = ", ".join(setting.default) if is_list else setting.default
    shown = "" if default in ("", False, None) else f" (default: {default})"
    described = help_ or setting.description
    option = typer.Option(*names, help=described + shown, show_default=False)
    return inspect.Parameter(
        parameter_name((setting.key, *also)),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[type_ | None, option],
        default=None,
    )


def options_of(flags: Iterable[SettingFlag]) -> list[inspect.Parameter]:
    """The parameters of a command's flags."""
    known = {setting.key: setting for setting in config.settings()}
    return [option(known[flag.key], flag.names, also=flag.also, help_=flag.help) for flag in flags]


def with_options(
    function: Callable[..., None], options: Iterable[inspect.Parameter], doc: str | None
) -> Callable[..., None]:
    """The function, which Typer now believes to have these parameters and this help."""
    parameters = list(options)
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {item.name: item.annotation for item in parameters}
    function.__doc__ = doc
    return function


def summary(doc: str | None) -> str:
    """The first paragraph of a help, whole, for the list of commands."""
    return " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())


CONFIG_OPTION: Final = inspect.Parameter(
    "config_file",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Settings file (TOML). (default: ~/.config/pyaiot/config.toml, if it is there)",
            show_default=False,
        ),
    ],
    default=None,
)


def load(config_file: Path | None, given: Mapping[str, object]) -> tuple[Config, dict[str, str]]:
    """The settings by file, environment and flags, and the origin of each. See `config.load`."""
    path = config_file
    if path is None and "AIOT_CONFIG" in os.environ:
        path = Path(os.environ["AIOT_CONFIG"])
    if path is None:
        default = config.default_file(os.environ)
        path = default if default.exists() else None
    flags = {
        key: value
        for name, value in given.items()
        if value not in (None, [])
        for key in keys_of(name)
    }
    return config.load(path, os.environ, flags)


_DEBUG: Final = Setting("log", "debug", bool, default=False, description="Log every step.")


def flags_of(settings: Mapping[str, Setting]) -> list[inspect.Parameter]:
    """Flags that are the fields of a config, and `--debug`."""
    names = ((setting, ["--" + name.replace("_", "-")]) for name, setting in settings.items())
    return [*(option(setting, flags) for setting, flags in names), option(_DEBUG, ["--debug"])]


def values_of(
    given: dict[str, Any], settings: Mapping[str, Setting]
) -> tuple[LogSection, dict[str, Any]]:
    """What to log, and the values of the flags. Raises `OperatorError`."""
    log = LogSection(debug=bool(given.pop("log__debug")))
    names = {name: name.partition("__")[2] for name in given}
    values = {
        names[name]: config.convert(value, settings[names[name]], "flag")
        for name, value in given.items()
        if value is not None
    }
    return log, values
