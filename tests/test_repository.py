# SPDX-License-Identifier: BSD-3-Clause
"""Promises about the files of the repository themselves."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import LONGEST, SLOW

ROOT = Path(__file__).parents[1]
SPDX = "# SPDX-License-Identifier: BSD-3-Clause"
SOURCES = (
    ".py",
    ".pyi",
    ".js",
    ".cjs",
    ".ts",
    ".tsx",
    ".css",
    ".html",
    ".sh",
    ".c",
    ".cpp",
    ".h",
    ".ini",
)
LINES_MAX = 450
LOCKS = {"run": 10, "dev": 10, "node": 1, "tools": 10}
"""The lock files, and how many packages they have at least."""

# Written in parts, so that this file keeps its own promises.
UNFINISHED = re.compile(
    "|".join(rf"\b{word}\b" for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X"))
)
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|tmp/team|home/\w+|Users/\w+)(?:/|\b)")
REGISTRY = re.compile(
    "|".join(re.escape(host) for host in ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.")),
    re.IGNORECASE,
)


def files() -> list[Path]:
    """The files of the repository, also those not yet committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nobody knows which files belong to the repository")
    # The owner of a checkout in a container is often somebody else.
    git = ["git", "-C", str(ROOT), "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(
        [*git, "--cached", "--others", "--exclude-standard"], check=True, capture_output=True
    )
    paths = [ROOT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def texts() -> list[tuple[str, str]]:
    """Name and content of each text file of the repository."""
    found = []
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((str(path.relative_to(ROOT)), data.decode("utf-8")))
    return found


def lines_with(pattern: re.Pattern[str], folder: str = "") -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        if name.startswith(folder)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def is_source(name: str, text: str) -> bool:
    return name.endswith(SOURCES) or text.startswith("#!")


def test_every_source_file_names_its_license() -> None:
    missing = [
        name
        for name, text in texts()
        if is_source(name, text)
        and SPDX.removeprefix("# ") not in "".join(text.splitlines(keepends=True)[:3])
    ]
    assert not missing, "\n".join(missing)


def test_source_has_no_unfinished_marks() -> None:
    found = lines_with(UNFINISHED, "src/")
    assert not found, "\n".join(found)


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = lines_with(MACHINE_PATH)
    assert not found, "\n".join(found)


def test_no_file_names_the_host_of_a_package_registry() -> None:
    found = lines_with(REGISTRY)
    assert not found, "\n".join(found)


def test_a_machine_path_is_found_where_there_is_one() -> None:
    assert MACHINE_PATH.search("see /" + "work/README.md")
    assert MACHINE_PATH.search('open("/' + 'root/.cache")')
    assert not MACHINE_PATH.search("the page at /workshop, the folder src/work, a.b/works")


def test_no_source_file_is_longer_than_a_sitting() -> None:
    sources = ("src/", "dashboard/src/")
    lengths = {name: text.count("\n") for name, text in texts() if name.startswith(sources)}
    # Words and rules are looked up, not read.
    lengths = {
        k: v for k, v in lengths.items() if not k.endswith((".css", "/en.ts", "/de.ts", "/fr.ts"))
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_every_script_can_be_executed() -> None:
    scripts = [path for path in files() if path.parent in (ROOT / "scripts", ROOT / ".ci")]
    assert scripts
    assert [path.name for path in scripts if not os.access(path, os.X_OK)] == []
    assert [path.name for path in scripts if not path.read_bytes().startswith(b"#!")] == []


def entries_of(lock: str) -> dict[Requirement, str]:
    """The requirements of a lock file, each with the text of its entry."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    bare = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE)
    entries = re.split(r"^(?=\w)", bare, flags=re.MULTILINE)
    return {Requirement(entry.split("\\")[0]): entry for entry in entries if entry.strip()}


def versions_of(lock: str) -> dict[str, set[Version]]:
    versions: dict[str, set[Version]] = {}
    for requirement in entries_of(lock):
        (pin,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), set()).add(Version(pin.version))
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_each_requirement_with_hashes(lock: str) -> None:
    entries = entries_of(lock)
    assert len(entries) >= LOCKS[lock]
    for requirement, entry in entries.items():
        assert [pin.operator for pin in requirement.specifier] == ["=="], entry
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)) >= 1, entry


@pytest.mark.parametrize("folder", ["dashboard", "benchmarks/node_red"])
def test_lock_of_node_packages_names_no_address(folder: str) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text("utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 50
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if "integrity" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    assert re.findall(r"https?:|file:|://|index|find-links|trusted-host| @ ", text) == []


def test_what_runs_is_what_is_tested() -> None:
    run, dev = versions_of("run"), versions_of("dev")
    assert run == {name: dev.get(name) for name in run}


def test_lock_files_contain_the_dependencies_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    wanted = {
        "run": [*project["project"]["dependencies"], *groups["build"]],
        "dev": [line for line in groups["dev"] if isinstance(line, str)],
    }
    for lock, lines in wanted.items():
        versions = versions_of(lock)
        for requirement in map(Requirement, lines):
            locked = versions.get(canonicalize_name(requirement.name), set())
            assert locked, f"run scripts/lock: {requirement} is not in {lock}.txt"
            assert all(requirement.specifier.contains(version) for version in locked), requirement


def test_files_that_begin_first_exist() -> None:
    tests = ROOT / "tests"
    assert [name for name in (*LONGEST, *SLOW) if not list(tests.glob(name))] == []
