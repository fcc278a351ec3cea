#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Build the documentation as a site, for `scripts/docs`; also contains the hooks of MkDocs.

The pages are those that `docs/index.md` lists, in its order. Links to other files of the repository
lead to copies of these files; Markdown files become pages, too.
"""

import argparse
import json
import logging
import os
import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from pyaiot import __version__

ROOT: Final = Path(__file__).resolve().parents[1]
ELSEWHERE: Final = "repository"
"""Folder of the site with the files that are not below `docs/`."""
SECTIONS: Final = ("Tutorials", "How-to guides", "Reference", "Explanation")
SHIM: Final = "https://unpkg.com/iframe-worker/shim"
"""The script that the theme loads from the internet for the search in a local copy."""
OWN_SHIM: Final = "javascripts/worker-from-file.js"
_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")
_FENCE: Final = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from the index."""
    index = (Path(config.docs_dir) / "index.md").read_text("utf-8")
    config.nav = [{"Home": ["index.md"]}, *({name: _pages(index, name)} for name in SECTIONS)]
    return config


def _pages(index: str, section: str) -> list[Any]:
    """The pages of a section. Lines that end in a colon begin a group."""
    pages: list[Any] = []
    group = pages
    text = re.split(r"^## ", index.split(f"\n## {section}\n")[1], flags=re.MULTILINE)[0]
    for line in text.splitlines():
        if re.fullmatch(r"\w[^*]*:", line):
            group = []
            pages.append({line.removesuffix(":"): group})
        for target in _LINK.findall(line):
            if target.endswith("decisions/README.md"):
                decisions = _LINK.findall((ROOT / "docs" / target).read_text("utf-8"))
                group.append({"Decisions": [target, *(f"decisions/{name}" for name in decisions)]})
            elif target.endswith(".md") and "#" not in target:
                group.append(target if not target.startswith("..") else _on_site(target[3:]))
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add files elsewhere in the repository that pages link to, and the files that those link
    to."""
    waiting = [(f"docs/{file.src_uri}", file) for file in files.documentation_pages()]
    while waiting:
        path, _ = waiting.pop()
        for target in _targets(path, (ROOT / path).read_text("utf-8")):
            uri = _on_site(target)
            if target.startswith("docs/") or files.get_file_from_path(uri) is not None:
                continue
            file = File.generated(config, uri, abs_src_path=str(ROOT / target))
            file.inclusion = InclusionLevel.NOT_IN_NAV
            files.append(file)
            if target.endswith(".md"):
                waiting.append((target, file))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files elsewhere in the repository to their copies."""
    del config, files
    own = page.file.src_uri
    path = own.removeprefix(f"{ELSEWHERE}/") if own.startswith(ELSEWHERE) else f"docs/{own}"

    def replace(match: re.Match[str]) -> str:
        target = _file(path, match[1])
        if target is None:
            return match[1]
        return posixpath.relpath(_on_site(target), posixpath.dirname(own) or ".")

    # Fenced blocks are between the others.
    parts = _FENCE.split(markdown)
    parts[::2] = (_LINK.sub(replace, part) for part in parts[::2])
    return "".join(parts)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load nothing from the internet."""
    del config
    return output.replace(
        SHIM, posixpath.relpath(OWN_SHIM, posixpath.dirname(page.file.dest_uri) or ".")
    )


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The same in pages that are made from templates."""
    del template_name, config
    return output_content.replace(SHIM, OWN_SHIM)


def _targets(path: str, markdown: str) -> set[str]:
    """The files of the repository that a document links to."""
    prose = _FENCE.sub("", markdown)
    found = (_file(path, target) for target in _LINK.findall(prose))
    return {target for target in found if target is not None}


def _file(path: str, target: str) -> str | None:
    """The file that a link in the document `path` refers to; for a folder, its README."""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if (ROOT / name).is_dir():
        name += "/README.md"
    return name if (ROOT / name).is_file() else None


def _on_site(path: str) -> str:
    """The path of a repository file on the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{ELSEWHERE}/{path}"


def publish(folder: Path) -> Path:
    """Build the site of this version below `folder`, beside those of other versions.

    `folder/versions.json` lists them for the menu of versions, the newest first, and
    `folder/index.html` leads to the newest. Returns the index of the new one. Raises `Abort` if a
    link or an anchor leads nowhere.
    """
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # docs/decisions has the pages that follow
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder / __version__)))
    versions = {path.parent.name for path in folder.glob("*/index.html")}
    newest_first = sorted(versions, key=_version_key, reverse=True)
    entries = [{"version": name, "title": name, "aliases": []} for name in newest_first]
    (folder / "versions.json").write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
    (folder / "index.html").write_text(
        "<!doctype html><title>Pyaiot</title>"
        f'<meta http-equiv="refresh" content="0; url={newest_first[0]}/index.html">'
        f'<a href="{newest_first[0]}/index.html">Documentation</a>\n',
        "utf-8",
    )
    return folder / __version__ / "index.html"


def _version_key(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.+-]", name)]


def main() -> None:
    """Build the site and print where it is."""
    parser = argparse.ArgumentParser(prog="scripts/docs", description="Build the documentation.")
    parser.add_argument("folder", nargs="?", default="site", help="where to (default: site)")
    folder = Path(parser.parse_args().folder)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        index = publish(folder.resolve())
    except Abort:
        parser.exit(1, "The site was not built: see the warnings above.\n")
    print(f"Open {index}")


if __name__ == "__main__":
    main()
