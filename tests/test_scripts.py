# SPDX-License-Identifier: BSD-3-Clause
"""The scripts of the first minute: which Python, which environment, what when it cannot be."""

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from scripts import failed_tests, home_assistant, javascript
from scripts.packaging.side_environment import SideEnvironment
from tests.inner_pytest import NO_PLUGINS

ROOT = Path(__file__).parents[1]
RECORD = "pyaiot-environment.txt"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the scripts look at of a checkout, in a folder with a space in its name."""
    folder = tmp_path / "my checkout"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src" / "pyaiot").mkdir(parents=True)
    for name in ("pyproject.toml", "src/pyaiot/__init__.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def environment_module(checkout: Path) -> ModuleType:
    path = checkout / "scripts" / "environment.py"
    spec = importlib.util.spec_from_file_location("environment", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_ready(checkout: Path, kind: str, folder: str = ".venv") -> None:
    """An environment that looks as if `kind` was installed: the interpreter and the record."""
    place = checkout / folder
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    lines = [f"python {platform.python_version()}", environment_module(checkout).fingerprint(kind)]
    (place / RECORD).write_text("\n".join(lines))


def setup(
    checkout: Path, kind: str, *command: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """`scripts/setup kind command`, from another folder, where pip can reach nothing."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "HOME": str(checkout.parent)}
    return subprocess.run(
        [str(checkout / "scripts" / "setup"), kind, *command],
        cwd=checkout.parent,
        env={**bare, **offline, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ready_environment_is_used_as_it_is(checkout: Path) -> None:
    make_ready(checkout, "run")
    result = setup(checkout, "run", "sh", "-c", 'echo "$VIRTUAL_ENV"; command -v python')
    place = checkout / ".venv"
    assert result.stdout.splitlines() == [str(place), str(place / "bin" / "python")]
    assert result.stderr == ""


def test_command_gets_its_arguments_as_they_are(checkout: Path) -> None:
    make_ready(checkout, "run")
    result = setup(checkout, "run", "printf", "%s|", "a b", "", "*")
    assert result.stdout == "a b||*|"


def test_exit_code_is_that_of_the_command(checkout: Path) -> None:
    make_ready(checkout, "run")
    assert setup(checkout, "run", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize(
    "name", ["requirements/run.txt", "pyproject.toml", "src/pyaiot/__init__.py"]
)
def test_changed_source_of_the_environment_makes_it_unready(checkout: Path, name: str) -> None:
    make_ready(checkout, "run")
    (checkout / name).write_text((checkout / name).read_text() + "\n")
    module = environment_module(checkout)
    assert not module.is_ready(checkout / ".venv", "run")


def test_moved_checkout_has_no_ready_environment(checkout: Path) -> None:
    make_ready(checkout, "run")
    moved = checkout.rename(checkout.with_name("moved"))
    assert not environment_module(moved).is_ready(moved / ".venv", "run")


def test_environment_for_the_demo_is_not_one_for_the_tests(checkout: Path) -> None:
    make_ready(checkout, "run")
    module = environment_module(checkout)
    assert module.is_ready(checkout / ".venv", "run")
    assert not module.is_ready(checkout / ".venv", "dev")


def test_environment_without_its_python_is_not_ready(checkout: Path) -> None:
    make_ready(checkout, "run")
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout / "gone")
    assert not environment_module(checkout).is_ready(checkout / ".venv", "run")


def test_foreign_environment_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    module = environment_module(checkout)
    assert module.environment_folder() == checkout / ".venv-pyaiot"
    make_ready(checkout, "run", ".venv-pyaiot")
    assert setup(checkout, "run", "true").returncode == 0
    assert list((checkout / ".venv").iterdir()) == []


def test_environment_is_in_the_cache_where_the_checkout_has_no_place(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv-pyaiot").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkout.parent / "cache"))
    folder = environment_module(checkout).environment_folder()
    assert folder.parent == checkout.parent / "cache" / "pyaiot"


def test_failed_installation_is_one_sentence_and_starts_again(checkout: Path) -> None:
    # What a run leaves that was ended while it made the environment.
    place = checkout / ".venv"
    (place / "bin").mkdir(parents=True)
    for name in (RECORD, "half made"):
        (place / name).touch()
    result = setup(checkout, "run", "true")
    assert result.returncode == 2
    assert "cannot be installed here" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert "Making the environment" in result.stderr
    assert not (place / "half made").exists()
    # What it leaves itself is again known as half made.
    module = environment_module(checkout)
    assert module.is_ours(place)
    assert not module.is_ready(place, "run")
    assert (place / RECORD).read_text() == ""


@pytest.mark.parametrize("arguments", [(), ("run",), ("else", "true")])
def test_wrong_usage_prints_the_usage(checkout: Path, arguments: tuple[str, ...]) -> None:
    result = subprocess.run(
        [sys.executable, str(checkout / "scripts" / "environment.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: ")
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("script", ["demo", "check", "test", "setup"])
def test_without_a_python_there_is_one_sentence(checkout: Path, script: str) -> None:
    tools = checkout.parent / "bin"
    tools.mkdir()
    for name in ("sh", "dirname"):
        (tools / name).symlink_to(Path(shutil.which(name) or "").resolve())
    result = subprocess.run(
        [str(checkout / "scripts" / script)],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "needs Python 3.11" in result.stderr


def test_invalid_python_is_reported(checkout: Path) -> None:
    result = setup(checkout, "run", "true", PYTHON=str(checkout / "no-python"))
    assert result.returncode == 2
    assert "no-python is not a Python 3.11" in result.stderr


@pytest.mark.parametrize(
    ("version", "taken"), [("v18.20.4", False), ("v20.18.1", False), ("v20.19.0", True)]
)
def test_node_js_is_used_if_it_is_new_enough(
    version: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(javascript, "find_spec", lambda _name: None)
    assert javascript.command("npm") == ([str(tmp_path / "npm")] if taken else None)


def test_packages_of_another_lock_file_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lock = tmp_path / "package-lock.json"
    lock.write_text("{}")
    place = javascript._place(tmp_path)
    assert javascript.packages(tmp_path) is None
    place.mkdir(parents=True)
    assert javascript.packages(tmp_path) == javascript.install(tmp_path) == place
    lock.write_text('{"changed": true}')
    assert javascript.packages(tmp_path) is None


def test_environment_of_another_lock_file_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lock = tmp_path / "requirements.txt"
    lock.write_text("one==1\n")
    environment = SideEnvironment("name", "One", lock)
    python = environment.place / "bin" / "python"
    assert environment.program("python") is None
    python.parent.mkdir(parents=True)
    python.touch()
    assert environment.program("python") == python
    assert environment.install(Path("none")) == environment.place
    lock.write_text("one==2\n")
    assert environment.program("python") is None


def test_without_a_python_for_home_assistant_the_script_names_it(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NO_PYTHON],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr == "Home Assistant needs Python 4.0, which is not installed.\n"


NO_PYTHON = """
import sys
from scripts import home_assistant
home_assistant.PYTHON = (4, 0)
try:
    home_assistant.install()
except home_assistant.NoPython as error:
    print(error, file=sys.stderr)
    sys.exit(home_assistant.EXIT_NO_PYTHON)
"""


def test_home_assistant_is_locked_with_hashes_and_without_addresses() -> None:
    text = home_assistant.LOCK.read_text("utf-8")
    pinned = re.findall(r"(?m)^[A-Za-z0-9._-]+==\S+ \\$", text)
    wanted = [
        line
        for line in home_assistant.LOCK.with_suffix(".in").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert len(pinned) == len(wanted)
    assert "://" not in text


def test_npm_packages_are_locked_without_addresses() -> None:
    lock = json.loads((ROOT / "tests" / "interop" / "js" / "package-lock.json").read_text("utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if "integrity" not in entry] == []


FAILS_ONCE = """
from pathlib import Path

def test_{name}():
    before = Path("{name}")
    failed_before = before.exists()
    before.touch()
    assert failed_before
"""


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        ({"test_unstable.py": FAILS_ONCE.format(name="unstable")}, 0),
        (
            {
                "test_unstable.py": FAILS_ONCE.format(name="unstable"),
                "test_broken.py": "def test_broken():\n    raise ValueError\n",
            },
            1,
        ),
        ({f"test_{n}.py": FAILS_ONCE.format(name=f"n{n}") for n in range(11)}, 1),
        ({"test_good.py": "def test_good():\n    pass\n"}, 1),
    ],
    ids=["passes alone", "fails again", "too many", "nothing recorded"],
)
def test_few_failures_run_again_and_decide_the_exit_code(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tests: dict[str, str],
    code: int,
) -> None:
    for variable, value in NO_PLUGINS.items():
        monkeypatch.setenv(variable, value)
    for name, text in tests.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q"]
    subprocess.run(command, cwd=tmp_path, check=False)
    capfd.readouterr()
    assert failed_tests.main(tmp_path) == code
    unstable = "Unstable: test_unstable.py::test_unstable failed beside other tests"
    assert (unstable in capfd.readouterr().err) == (code == 0)
