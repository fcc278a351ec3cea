# SPDX-License-Identifier: BSD-3-Clause
"""`python -m scripts.reference [--check]`, from the root of the checkout."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scripts.reference import (
    asyncapi,
    commands,
    grafana,
    http_api,
    limits,
    messages,
    metrics,
    settings,
)

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "reference"
PAGES: Final[dict[str, Callable[[], str]]] = {
    "messages.md": messages.page,
    "settings.md": settings.page,
    "commands.md": commands.page,
    "asyncapi.json": asyncapi.document,
    "http-api.md": http_api.page,
    "openapi.json": http_api.document,
    "limits.md": limits.page,
    "metrics.md": metrics.page,
    "../../examples/monitoring/grafana.json": grafana.document,
}


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check`, list those that are out of date and return 1."""
    if arguments not in ([], ["--check"]):
        print("Usage: scripts/generate-docs [--check]", file=sys.stderr)
        return 2
    status = 0
    for name, make in PAGES.items():
        path = (FOLDER / name).resolve()
        text = make()
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        shown = path.relative_to(ROOT)
        if arguments:
            print(f"{shown} is out of date: run scripts/generate-docs.")
            status = 1
        else:
            path.write_text(text, "utf-8")
            print(f"{shown} is written.")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
