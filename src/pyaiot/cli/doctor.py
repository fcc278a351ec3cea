# SPDX-License-Identifier: BSD-3-Clause
"""`aiot doctor`: what is wrong here, and what to do about it."""

import inspect
import sys
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pyaiot.app.runner import run_until_signal
from pyaiot.cli import formatting
from pyaiot.cli.flags import doctor_flags
from pyaiot.cli.options import CONFIG_OPTION, load, options_of, with_options
from pyaiot.cli.options import summary as first_paragraph
from pyaiot.cli.terminal import Paint, plain, say
from pyaiot.client.address import BrokerAddress
from pyaiot.config import Config
from pyaiot.doctor.findings import Finding, Verdict, exit_code, summary

_COLOURS: Final[dict[Verdict, str]] = {"ok": "green", "note": "yellow", "wrong": "red"}
_MARKS: Final[dict[Verdict, str]] = {"ok": "✓", "note": "!", "wrong": "✗"}
_WIDTH_MAX: Final = 100
_WIDTH_PLAIN: Final = 80


def _doctor(settings: Config, origins: dict[str, str], *, json: bool, trip: bool) -> None:
    """Look for what is wrong with this machine and its settings, and say what to do.

    It takes the flags and settings of aiot run. Nothing that runs is changed. The exit code is 1 if
    something is wrong.
    """
    from pyaiot.app import services  # noqa: PLC0415 - see below
    from pyaiot.doctor.doctor import examine  # noqa: PLC0415 - other commands do without it

    paint = Paint(sys.stdout)
    progress = _Progress(on=paint.is_terminal and not json)
    sources = {origin for origin in origins.values() if origin != "default"}
    found = run_until_signal(
        examine(
            settings,
            _place(settings, origins),
            settings=f"good: {', '.join(sorted(sources))}" if sources else "all defaults",
            run_demo=services.run_demo if trip else None,
            told=progress.told,
        ),
        settings.log,
        quiet=True,
    )
    progress.clear()
    if found is None:
        raise typer.Exit(1)
    if json:
        say(formatting.as_json({"findings": found, "wrong": bool(exit_code(found))}))
    else:
        say(report(found, paint))
    if exit_code(found):
        raise typer.Exit(exit_code(found))


def report(found: Sequence[Finding], paint: Paint) -> str:
    """For people: areas, findings, and under each that is not ok what to do."""
    width = min(paint.width or _WIDTH_PLAIN, _WIDTH_MAX)
    about = max(len(finding.about) for finding in found)
    lines = []
    for area, findings in groupby(found, key=lambda finding: finding.area):
        lines.append(paint("bold", area))
        for finding in findings:
            mark, colour = _MARKS[finding.verdict], _COLOURS[finding.verdict]
            first = f"  {mark} {finding.verdict:<5}  {finding.about:<{about}}  "
            body = _wrapped(finding.says, len(first), width)
            head = f"  {paint(colour, f'{mark} {finding.verdict:<5}')}  {finding.about:<{about}}  "
            lines.append(head + body)
            if finding.do:
                arrow = " " * (len(first) - 2) + "→ "
                lines.append(paint("cyan", arrow + _wrapped(finding.do, len(arrow), width)))
        lines.append("")
    colour = "red" if exit_code(found) else "green"
    return "\n".join([*lines, paint(colour, summary(found))])


def _wrapped(text: str, indent: int, width: int) -> str:
    pieces = textwrap.wrap(
        plain(text), max(20, width - indent), break_long_words=False, break_on_hyphens=False
    )
    return ("\n" + " " * indent).join(pieces)


class _Progress:
    """One line that says which parts are still being looked at, where a terminal is there."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._ended: list[str] = []
        if on:
            self._show("Looking ...")

    def told(self, area: str) -> None:
        self._ended.append(area)
        if self._on:
            self._show(f"Looking ... {', '.join(self._ended)}")

    def clear(self) -> None:
        if self._on:
            self._show("")

    def _show(self, text: str) -> None:
        sys.stdout.write(f"\r\x1b[2K{text}")
        sys.stdout.flush()


def _place(settings: Config, origins: dict[str, str]) -> BrokerAddress:
    """Where the running broker would be: where clients look, else where `aiot run` would put it."""
    section = settings.client
    said = {name for name in ("host", "port") if origins[f"client.broker_{name}"] != "default"}
    return BrokerAddress(
        section.broker_host if "host" in said else "localhost",
        section.broker_port if "port" in said else settings.broker.port or section.broker_port,
        section.broker_ssl,
    )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    json = inspect.Parameter(
        "json",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")],
        default=False,
    )
    no_trip = inspect.Parameter(
        "no_trip",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            bool,
            typer.Option(
                "--no-trip",
                help="Leave out the round trip, for which everything is started on free ports.",
            ),
        ],
        default=False,
    )

    def command(
        config_file: Path | None = None, *, json: bool, no_trip: bool, **given: Any
    ) -> None:
        settings, origins = load(config_file, given)
        _doctor(settings, origins, json=json, trip=not no_trip)

    options = options_of(doctor_flags())
    app.command("doctor", short_help=first_paragraph(_doctor.__doc__))(
        with_options(command, [json, no_trip, *options, CONFIG_OPTION], _doctor.__doc__)
    )
