# SPDX-License-Identifier: BSD-3-Clause
"""`aiot doctor`: finds problems of this machine and its settings, with a remedy for each."""

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
from pyaiot.cli.terminal import Paint, plain, print_line
from pyaiot.client.address import BrokerAddress
from pyaiot.config import Config
from pyaiot.doctor.findings import Finding, Verdict, exit_code, summary

_COLOURS: Final[dict[Verdict, str]] = {"ok": "green", "note": "yellow", "wrong": "red"}
_MARKS: Final[dict[Verdict, str]] = {"ok": "✓", "note": "!", "wrong": "✗"}
_WIDTH_MAX: Final = 100
_WIDTH_PLAIN: Final = 80


def _doctor(settings: Config, origins: dict[str, str], *, json: bool, trip: bool) -> None:
    """Check this machine and its settings for problems, and print a remedy for each.

    It has the flags and settings of aiot run. Running services are not changed. The exit code is 1
    if there is a problem.
    """
    from pyaiot.app import services  # noqa: PLC0415 - imports every part of the system
    from pyaiot.doctor.doctor import examine  # noqa: PLC0415 - imports the parts that it checks

    paint = Paint(sys.stdout)
    progress = _Progress(on=paint.is_terminal and not json)
    sources = {"flags" if it == "flag" else it for it in origins.values() if it != "default"}
    found = run_until_signal(
        examine(
            settings,
            _broker_address(settings, origins),
            settings=f"valid; from {', '.join(sorted(sources))}" if sources else "all defaults",
            run_demo=services.run_demo if trip else None,
            finished=progress.finished,
        ),
        settings.log,
        quiet=True,
    )
    progress.clear()
    if found is None:
        raise typer.Exit(1)
    if json:
        print_line(formatting.as_json({"findings": found, "wrong": bool(exit_code(found))}))
    else:
        print_line(report(found, paint))
    if exit_code(found):
        raise typer.Exit(exit_code(found))


def report(found: Sequence[Finding], paint: Paint) -> str:
    """The findings as text, by area. Below each that is not `ok` stands its action."""
    width = min(paint.width or _WIDTH_PLAIN, _WIDTH_MAX)
    subject_width = max(len(finding.subject) for finding in found)
    lines = []
    for area, findings in groupby(found, key=lambda finding: finding.area):
        lines.append(paint("bold", area))
        for finding in findings:
            mark, colour = _MARKS[finding.verdict], _COLOURS[finding.verdict]
            verdict, subject = f"{mark} {finding.verdict:<5}", f"{finding.subject:<{subject_width}}"
            indent = len(f"  {verdict}  {subject}  ")
            text = _wrapped(finding.text, indent, width)
            lines.append(f"  {paint(colour, verdict)}  {subject}  {text}")
            if finding.action:
                action = _wrapped(finding.action, indent, width)
                lines.append(paint("cyan", " " * (indent - 2) + "→ " + action))
        lines.append("")
    colour = "red" if exit_code(found) else "green"
    return "\n".join([*lines, paint(colour, summary(found))])


def _wrapped(text: str, indent: int, width: int) -> str:
    pieces = textwrap.wrap(
        plain(text), max(20, width - indent), break_long_words=False, break_on_hyphens=False
    )
    return ("\n" + " " * indent).join(pieces)


class _Progress:
    """A line on the terminal with the areas that are checked so far."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._areas: list[str] = []
        if on:
            self._show("Checking ...")

    def finished(self, area: str) -> None:
        self._areas.append(area)
        if self._on:
            self._show(f"Checking ... {', '.join(self._areas)}")

    def clear(self) -> None:
        if self._on:
            self._show("")

    def _show(self, text: str) -> None:
        sys.stdout.write(f"\r\x1b[2K{text}")
        sys.stdout.flush()


def _broker_address(settings: Config, origins: dict[str, str]) -> BrokerAddress:
    """Where a running broker is expected: the address of clients, else that of `aiot run`."""
    section = settings.client
    is_set = {name for name in ("host", "port") if origins[f"client.broker_{name}"] != "default"}
    return BrokerAddress(
        section.broker_host if "host" in is_set else "localhost",
        section.broker_port if "port" in is_set else settings.broker.port or section.broker_port,
        section.broker_ssl or ("host" not in is_set and settings.tls.covers("web")),
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
                help="Skip the round trip, which starts everything on free ports.",
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
