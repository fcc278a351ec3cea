# SPDX-License-Identifier: BSD-3-Clause
"""Manual pages and shell completion, from the command line itself."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from scripts.packaging.common import VERSION, source_date
from scripts.reference.commands import Command, Option, commands

COMPLETION_FILES: Final = {
    "bash": "usr/share/bash-completion/completions/aiot",
    "zsh": "usr/share/zsh/vendor-completions/_aiot",
    "fish": "usr/share/fish/vendor_completions.d/aiot.fish",
}
ENDING: Final = """\
.SH EXIT STATUS
0 if it succeeded, 1 for a negative result, 2 if the operator must change something first.
.SH FILES
.TP
.I ~/.config/pyaiot/config.toml
Settings of the commands of a user.
.TP
.I /etc/pyaiot/config.toml
Settings of the service of the machine.
.TP
.I ~/.local/share/pyaiot, /var/lib/pyaiot
Data of a user and of the service of the machine.
"""


def pages() -> dict[str, str]:
    """Each manual page by the name of its file: `aiot.1`, and one for each command."""
    known = list(commands())
    groups: dict[str, list[Command]] = {}
    for word, found in groupby(
        (it for it in known if it.name != "aiot"), key=lambda it: it.name.split()[1]
    ):
        groups.setdefault(word, []).extend(found)
    made = {f"aiot-{word}.1": _page(f"aiot-{word}", found) for word, found in groups.items()}
    return {"aiot.1": _overview(known), **made}


def completions() -> dict[str, str]:
    """The completion of each shell, by the path of its file below `/`."""
    from typer._completion_shared import get_completion_script  # noqa: PLC0415

    return {
        path: get_completion_script(prog_name="aiot", complete_var="_AIOT_COMPLETE", shell=shell)
        + "\n"
        for shell, path in COMPLETION_FILES.items()
    }


def _head(name: str, summary: str) -> str:
    date = datetime.fromtimestamp(source_date(), UTC).date().isoformat()
    return (
        f'.TH {name.upper()} 1 "{date}" "pyaiot {VERSION}" "Pyaiot"\n'
        f".SH NAME\n{_escaped(name)} \\- {_escaped(summary)}\n"
    )


def _overview(known: list[Command]) -> str:
    parts = [_head("aiot", "connects constrained IoT devices to the web")]
    parts.append(".SH SYNOPSIS\n.B aiot\n.I COMMAND\n[\\fIFLAG\\fR ...]\n.SH COMMANDS\n")
    parts += [
        f".TP\n.B {_escaped(it.name)}\n{_escaped(_summary(it.help))}\n"
        for it in known
        if it.name != "aiot"
    ]
    parts.append(ENDING)
    parts.append(".SH SEE ALSO\n")
    words = dict.fromkeys(it.name.split()[1] for it in known if it.name != "aiot")
    parts.append(",\n".join(f".BR aiot-{_escaped(word)} (1)" for word in words) + "\n")
    return "".join(parts).replace(",\n.BR", "\n.BR")


def _page(name: str, found: list[Command]) -> str:
    summary = found[0].help if len(found) == 1 else f"the commands of {name.replace('-', ' ', 1)}"
    parts = [_head(name, _summary(summary).rstrip("."))]
    parts.append(".SH SYNOPSIS\n")
    parts += [f".B {_escaped(it.name)}\n[\\fIFLAG\\fR ...]\n.br\n" for it in found]
    for command in found:
        heading = "DESCRIPTION" if len(found) == 1 else command.name.upper()
        parts.append(f".SH {_escaped(heading)}\n")
        for paragraph in command.help.split("\n\n"):
            parts.append(f"{_escaped(' '.join(paragraph.split()))}\n.PP\n")
        parts += _options(command.options)
    parts.append(ENDING)
    parts.append(".SH SEE ALSO\n.BR aiot (1)\n")
    return "".join(parts)


def _options(options: tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        default = f" (default: {option.default})" if option.default else ""
        names = ", ".join(map(_escaped, option.names))
        yield f".TP\n.B {names}\n{_escaped(option.help + default)}\n"


def _summary(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _escaped(text: str) -> str:
    """Text in roff: without requests and escapes, and with hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)
