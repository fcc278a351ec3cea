# SPDX-License-Identifier: BSD-3-Clause
"""`aiot backup`, `aiot restore` and `aiot upgrade-check`: data of a system, kept and moved."""

import inspect
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pyaiot import __version__, config
from pyaiot.app.data import parts_of
from pyaiot.cli.options import CONFIG_OPTION, load, options_of, settings_file, with_options
from pyaiot.cli.options import summary as first_paragraph
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.config import Config, SettingFlag
from pyaiot.errors import OperatorError

_LOCATIONS: Final = (
    SettingFlag(("--registry",), "registry.store"),
    SettingFlag(("--history",), "history.store"),
    SettingFlag(("--key-file",), "broker.key_file"),
    SettingFlag(("--alerts",), "alerts.file"),
)
"""The flags of `aiot run` that move data elsewhere."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    _add(
        app,
        "backup",
        _backup,
        _argument("file", Path, "The archive to make, or a folder for it."),
        _flag("no_history", "--no-history", "Leave out the history, the largest part."),
    )
    _add(
        app,
        "restore",
        _restore,
        _argument("file", Path | None, "An archive of aiot backup.", default=None),
        _flag("check", "--check", "Only check the archive. Nothing is changed."),
        _flag("keep_settings", "--keep-settings", "Keep the settings file of this machine."),
        _flag("finish", "--finish", "Finish a restore that was interrupted."),
    )
    _add(app, "upgrade-check", _upgrade_check)


def _backup(file: Path, *, no_history: bool, given: dict[str, Any]) -> None:
    """Write settings, registry, users, tokens, keys and history into one archive.

    The system may be running. The archive can be read only by you. Pass the flags with which the
    system runs if they name other files.
    """
    from pyaiot.backup.create import create_backup  # noqa: PLC0415 - databases

    path = settings_file(given.pop("config_file"))
    settings, _ = load(path, given)
    now = datetime.now(UTC)
    target = file.expanduser()
    if target.is_dir():
        target /= f"pyaiot-{now:%Y%m%d-%H%M%S}.tar.gz"
    manifest = create_backup(
        parts_of(settings, path or config.default_file(os.environ)),
        target,
        unix_time=time.time,
        with_history=not no_history,
    )
    print_line(f"{target}: {_size(target.stat().st_size)}")
    for member in manifest.members:
        print_line(f"  {member.name:<24} {_size(member.size):>10}")
    for sentence in manifest.left_out:
        print_line(f"  not in it: {plain(sentence)}")
    print_line("It has keys and passwords. Copy it to another machine, where only you can read it.")


def _restore(
    file: Path | None,
    *,
    check: bool,
    keep_settings: bool,
    finish: bool,
    given: dict[str, Any],
) -> None:
    """Restore an archive of aiot backup. The system must be stopped.

    The archive is unpacked and checked before anything is changed. Previous files are kept in
    folders before-restore-DATE. An archive of a newer version is refused.
    """
    from pyaiot.backup import journal, restore  # noqa: PLC0415 - databases
    from pyaiot.backup.running import lock_files, stopped  # noqa: PLC0415 - databases

    folder = config.data_folder(os.environ)
    if finish:
        if file is not None or check:
            raise OperatorError("--finish takes no archive.")
        count = journal.finish(folder)
        print_line(f"The restore is finished: {count} files.")
        return
    if file is None:
        raise OperatorError("Name an archive that aiot backup made: aiot restore FILE.")
    named = given.pop("config_file")
    target = settings_file(named) or named or config.default_file(os.environ)
    with restore.unpacked(file.expanduser(), folder) as (manifest, files):
        own = files / "settings"
        if own.exists() and not keep_settings:
            settings, _ = load(own, given)
        else:
            settings, _ = load(settings_file(named), given)
        found = parts_of(settings, target)
        restore.check_parts(manifest, files, found)
        if check:
            _print_checked(file, manifest)
            return
        with stopped(lock_files(found), "the restore"):
            done = restore.restore_parts(
                manifest, files, found, folder, time.time(), with_settings=not keep_settings
            )
    made_at = datetime.fromtimestamp(manifest.created_at, UTC)
    print_line(f"Restored: the state of {made_at:%Y-%m-%d %H:%M} UTC, Pyaiot {manifest.version}.")
    for name in done.names:
        print_line(f"  {name}")
    for path in done.kept:
        print_line(f"What was there before: {path}")
    print_line(
        "Access that was removed since then is valid again: aiot user list, aiot token list."
    )


def _print_checked(file: Path, manifest: Any) -> None:
    made_at = datetime.fromtimestamp(manifest.created_at, UTC)
    print_line(
        f"{file} is complete: {len(manifest.members)} files of {made_at:%Y-%m-%d %H:%M} UTC,"
        f" Pyaiot {manifest.version}."
    )
    for sentence in manifest.left_out:
        print_line(f"  not in it: {plain(sentence)}")


def _upgrade_check(given: dict[str, Any]) -> None:
    """Check what this version will do with the data on this machine. Changes nothing.

    Run it with the new version while the old one still runs. The exit code is 1 if the new version
    cannot use something.
    """
    from pyaiot.backup.upgrade import PartCheck, check_upgrade  # noqa: PLC0415 - databases

    path = settings_file(given.pop("config_file"))
    settings = Config()
    found: list[PartCheck] = []
    try:
        settings, _ = load(path, given)
        found.append(PartCheck("settings", "ok", f"{path or 'no file'}: valid"))
    except OperatorError as error:
        found.append(PartCheck("settings", "wrong", str(error)))
    parts = parts_of(settings, path or config.default_file(os.environ))
    found += check_upgrade(parts, config.data_folder(os.environ))
    print_line(f"Pyaiot {__version__} and the data on this machine:")
    for item in found:
        print_line(f"  {item.outcome:<8}  {item.name:<9}  {plain(item.text)}")
    if any(item.outcome == "wrong" for item in found):
        print_error("do not upgrade before this is solved.")
        raise typer.Exit(EXIT_NO)
    if any(item.outcome == "migrates" for item in found):
        print_line("Make a backup with the old version first: aiot backup FILE")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def _argument(name: str, type_: Any, help_: str, default: Any = inspect.Parameter.empty) -> Any:
    option = typer.Argument(help=help_, metavar="FILE", show_default=False)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=Annotated[type_, option], default=default)


def _flag(name: str, flag: str, help_: str) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    option = typer.Option(flag, help=help_)
    return inspect.Parameter(name, kind, annotation=Annotated[bool, option], default=False)


def _add(app: typer.Typer, name: str, run: Any, *extra: inspect.Parameter) -> None:
    names = [item.name for item in extra]

    def command(**given: Any) -> None:
        own = {name: given.pop(name) for name in names}
        run(**own, given=given)

    options = [*extra, *options_of(_LOCATIONS), CONFIG_OPTION]
    app.command(name, short_help=first_paragraph(run.__doc__))(
        with_options(command, options, run.__doc__)
    )
