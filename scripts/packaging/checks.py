# SPDX-License-Identifier: BSD-3-Clause
"""Checks before a release: the changelog, and metadata that package indexes accept."""

import re
import zipfile
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from packaging.metadata import Metadata
from scripts.packaging.common import ROOT, VERSION, CannotRelease, report
from scripts.packaging.targets import PYTHONS

SUMMARY_MAX = 512
"""Longest summary that a package index accepts, in characters."""


def check_changelog(*, final: bool, root: Path = ROOT, version: str = VERSION) -> None:
    """Raise `CannotRelease` unless the changelog has a section of this version, with entries."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heading = re.search(rf"(?m)^## {re.escape(version)} – (.+)$", text)
    if heading is None:
        raise CannotRelease(f'CHANGELOG.md needs a section "## {version} – DATE".')
    section = text[heading.end() :].partition("\n## ")[0]
    if not re.search(r"(?m)^\* ", section):
        raise CannotRelease(f"The section of {version} in CHANGELOG.md has no entries.")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", heading[1]):
        if final:
            raise CannotRelease(
                f'CHANGELOG.md has "{heading[1]}" for {version}: write the date, as 2026-01-31.'
            )
        report(f'Note: CHANGELOG.md has "{heading[1]}" for {version}; --final requires a date.')


def check_metadata(wheel: Path) -> None:
    """Raise `CannotRelease` for metadata that a package index refuses or shows badly."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [it for it in archive.namelist() if it.endswith(".dist-info/METADATA")]
        metadata = Metadata.from_email(archive.read(name), validate=True)
    problems = list(_problems(metadata))
    if problems:
        raise CannotRelease(f"The metadata of {wheel.name}: {'; '.join(problems)}.")


def _problems(metadata: Metadata) -> Any:
    if str(metadata.version) != VERSION:
        yield f"the version is {metadata.version}, not {VERSION}"
    if len(metadata.summary or "") > SUMMARY_MAX:
        yield f"the summary is longer than {SUMMARY_MAX} characters"
    classifiers = metadata.classifiers or []
    for python in PYTHONS:
        if f"Programming Language :: Python :: {python}" not in classifiers:
            yield f"there is no classifier of Python {python}"
    if not (metadata.description_content_type or "").startswith("text/markdown"):
        yield "the long description is not Markdown"
    yield from relative_links(metadata.description or "")


def relative_links(text: str) -> Any:
    """Links and pictures in Markdown that do not work on the page of a package index."""
    for token in MarkdownIt("commonmark").parse(text):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None and not re.match(r"https?://|#|mailto:", str(target)):
                yield f"the link {target} leads nowhere on an index"
