# SPDX-License-Identifier: BSD-3-Clause
"""`aiot setup`: three questions, a settings file, and the first sign-in."""

import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from pyaiot import config
from pyaiot.app.protocols import plugins
from pyaiot.app.setup_text import Reach, SetupAnswers, settings_text
from pyaiot.cli.terminal import EXIT_NO, Paint, print_error, print_line
from pyaiot.errors import TEXT_FILE_ENCODING, OperatorError, reason_of
from pyaiot.transport.addresses import authority

SYSTEM_FILE: Final = Path("/etc/pyaiot/config.toml")
"""The settings file of the service of a machine."""
SYSTEMD_RUNS: Final = Path("/run/systemd/system")
"""Exists while systemd runs (sd_booted(3))."""
TRIES: Final = 5
"""Wrong answers to one question. Then the command ends."""

T = TypeVar("T")

_REACHES: Final[dict[Reach, str]] = {
    "machine": "only this machine",
    "network": "my network: phones, computers and boards in it",
    "proxy": "the network, through a web server in front of it that provides TLS",
}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("setup", short_help="Ask three questions, and write the settings file.")(setup)


def setup(
    reach: Annotated[
        Reach | None, typer.Option(help="Who can reach it. (default: network)", show_default=False)
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="A protocol whose devices in the network may connect. May be repeated."
            " (default: all)",
            show_default=False,
        ),
    ] = None,
    boot: Annotated[
        bool | None,
        typer.Option(
            "--boot/--no-boot",
            help="Start it at boot, as a service. (default: no with --yes)",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="With a proxy: the name that browsers use.")] = "",
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="The file to write. (default: ~/.config/pyaiot/config.toml; as root, with --boot:"
            f" {SYSTEM_FILE})",
            show_default=False,
        ),
    ] = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing, use the defaults.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a settings file.")] = False,
) -> None:
    """Ask who can reach Pyaiot, for which protocols, and whether it starts at boot.

    The answers are written to a settings file, after the last question.
    """
    known = [plugin.section.table for plugin in plugins() if plugin.listen_setting]
    wrong = [it for it in protocol or () if it not in known]
    if wrong:
        raise OperatorError(f"There is no protocol {wrong[0]!r}; there are {', '.join(known)}.")
    interactive = not yes and sys.stdin.isatty()
    if not interactive and not yes:
        raise OperatorError("This asks questions: run it on a terminal, or with --yes.")
    question = Questions(interactive=interactive)
    reach = reach or question.choice("Who may reach Pyaiot?", _REACHES, "network")
    protocols = tuple(protocol or ())
    if reach != "machine" and not protocols:
        protocols = question.several("Which protocols do your devices speak?", known)
    if reach == "proxy" and not name:
        name = question.text("Under which name do browsers reach the web server?", "localhost")
    if reach == "proxy":
        authority(name, 443)  # raises if it is not a host
    if boot is None:
        boot = question.yes_or_no("Start it at boot, as a service?", default=interactive)
    path = (config_file or _default_file(boot=boot)).expanduser()
    write_settings(path, settings_text(SetupAnswers(reach, protocols, name)), force=force)
    print_line(f"Written: {path}")
    _start(reach, path, boot=boot)


def _default_file(*, boot: bool) -> Path:
    return SYSTEM_FILE if boot and os.geteuid() == 0 else config.default_file(os.environ)


def _has_settings(path: Path) -> bool:
    """Whether the file is more than the comments that a package or `service install` wrote."""
    try:
        return bool(tomllib.loads(path.read_text(TEXT_FILE_ENCODING)))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def write_settings(path: Path, text: str, *, force: bool) -> None:
    """Write the settings file. Raises `OperatorError`, also if there is one with settings."""
    if not force and _has_settings(path):
        raise OperatorError(f"{path} has settings and was not changed: replace it with --force.")
    path = path.resolve()  # the target of a link is replaced, not the link
    if path.exists() and not path.is_file():
        raise OperatorError(f"{path} is not a file: name another one.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        if path.exists():  # a settings file of the services is not for everybody
            before = path.stat()
            os.chown(partial, before.st_uid, before.st_gid)
            partial.chmod(stat.S_IMODE(before.st_mode))
        else:
            partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {reason_of(error)}.") from error


def _start(reach: Reach, path: Path, *, boot: bool) -> None:
    """Install the service and print an invitation, or print how to start."""
    if not boot:
        named = "" if path == config.default_file(os.environ) else f" --config {path}"
        print_line(f"Start it:\n  aiot run{named}")
        if reach != "machine":
            print_line("It prints a link, and a QR code for a phone, that signs you in once.")
        return
    is_root = os.geteuid() == 0
    scope = () if is_root else ("--user",)
    flags = () if path in (SYSTEM_FILE, config.default_file(os.environ)) else ("--config", path)
    if _aiot("service", "install", *scope, *map(str, flags)) != 0:
        print_error("the service was not installed. The settings file is written: aiot run")
        raise typer.Exit(EXIT_NO)
    if reach == "machine":
        return
    as_service = ("service", "exec") if is_root else ()
    words = (*as_service, "invite", "--role", "admin")
    if not SYSTEMD_RUNS.exists():
        print_line(f"When it runs, this prints a link that signs you in:\n  aiot {' '.join(words)}")
        return
    print_line("Open this link once, on your computer or phone, to sign in as administrator:")
    if _aiot(*words) != 0:
        raise typer.Exit(EXIT_NO)


def _aiot(*words: str) -> int:
    """Run a command of `aiot`; its exit code."""
    return subprocess.run([sys.executable, "-m", "pyaiot", *words], check=False).returncode  # noqa: S603


class Questions:
    """Asks on the terminal. An empty line means the default, and so does `interactive` False."""

    def __init__(self, *, interactive: bool, read: Callable[[str], str] = input) -> None:
        self._interactive = interactive
        self._read = read
        self._paint = Paint(sys.stdout)

    def choice(self, question: str, choices: dict[Reach, str], default: Reach) -> Reach:
        """One of the choices, by its number or word."""
        if not self._interactive:
            return default
        words = list(choices)
        print_line(self._paint("bold", question))
        for number, word in enumerate(words, 1):
            print_line(f"  {number}  {choices[word]}")

        def read(answer: str) -> Reach | None:
            if answer.isdecimal() and 1 <= int(answer) <= len(words):
                return words[int(answer) - 1]
            return next((word for word in words if word == answer), None)

        hint = f"a number from 1 to {len(words)}"
        return self._prompt(f"[{words.index(default) + 1}]", default, read, hint)

    def several(self, question: str, known: Sequence[str]) -> tuple[str, ...]:
        """Some of the words; all of them by default."""
        if not self._interactive:
            return tuple(known)
        print_line(self._paint("bold", question))
        print_line(f"  {', '.join(known)}; or none")

        def read(answer: str) -> tuple[str, ...] | None:
            words = tuple(answer.replace(",", " ").split())
            if words == ("none",):
                return ()
            return words if all(word in known for word in words) else None

        hint = f"words of {', '.join(known)}"
        return self._prompt("[all]", tuple(known), read, hint)

    def text(self, question: str, default: str) -> str:
        """A word."""
        if not self._interactive:
            return default
        print_line(self._paint("bold", question))
        return self._prompt(f"[{default}]", default, lambda it: it or None, "a name")

    def yes_or_no(self, question: str, *, default: bool) -> bool:
        """Yes or no."""
        if not self._interactive:
            return default
        print_line(self._paint("bold", question))
        known = {"y": True, "yes": True, "n": False, "no": False}
        return self._prompt("[Y/n]" if default else "[y/N]", default, known.get, "y or n")

    def _prompt(self, shown: str, default: T, read: Callable[[str], T | None], hint: str) -> T:
        """Ask until the answer is valid. Raises `OperatorError` after `TRIES`, and without one."""
        for _ in range(TRIES):
            try:
                answer = self._read(f"  {shown} ").strip().lower()
            except EOFError:
                print_line("")
                raise OperatorError("There was no answer. Nothing was written.") from None
            found = read(answer) if answer else default
            if found is not None:
                print_line("")
                return found
            print_line(f"  Please type {hint}, or press Enter.")
        raise OperatorError(f"No valid answer in {TRIES} attempts. Nothing was written.")
