# SPDX-License-Identifier: BSD-3-Clause
"""The built wheel, installed elsewhere: what people get, without the checkout around it."""

import asyncio
import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import pyaiot

ROOT = Path(__file__).parents[1]
SCRIPTS = (
    "aiot",
    "aiot-broker",
    "aiot-coap-gateway",
    "aiot-mqtt-gateway",
    "aiot-mqttsn-gateway",
    "aiot-ws-gateway",
    "aiot-dashboard",
    "aiot-generate-keys",
)


def build(source: Path, into: Path, kind: str) -> Path:
    """Build `kind` (`wheel` or `sdist`) of the project in `source`; returns the file."""
    subprocess.run(
        [sys.executable, "-I", "-m", "hatchling", "build", "-t", kind, "-d", str(into)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment with the wheel, far from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    # The dependencies are those of the environment that runs the tests, so that nothing is
    # downloaded. A folder that is named in a .pth file brings its packages but not its own .pth
    # files, so the checkout, which is installed by such a file, stays out.
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # Our own pip, since to make one there takes longer than all the rest.
    pip = [sys.executable, "-I", "-m", "pip", "--quiet", "--python", str(folder), "install"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--force-reinstall", str(wheel)], check=True)
    return folder / "bin"


def environment(home: Path) -> dict[str, str]:
    """The environment of a person without settings for Python or Pyaiot."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("AIOT_", "PYTHON", "XDG_"))}
    return {**bare, "HOME": str(home)}


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that succeeds, run in the empty folder `cwd`."""
    result = subprocess.run(
        command, cwd=cwd, env=environment(cwd), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_wheel_holds_each_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    present = {
        str(path.relative_to(source))
        for path in (source / "pyaiot").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == present
    assert "pyaiot/py.typed" in packed


def test_wheel_has_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert metadata["Name"] == "pyaiot"
    assert metadata["Version"] == pyaiot.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"


def test_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        # Python 3.11.2, of Debian 12, has no filters yet.
        options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **options)
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    again = build(source, tmp_path / "again", "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import pyaiot; print(pyaiot.__file__)"
    place = Path(run(installed / "python", "-c", code, cwd=tmp_path).strip())
    assert place.is_relative_to(installed.parent)
    assert not place.is_relative_to(ROOT)


@pytest.mark.parametrize("script", SCRIPTS)
def test_installed_command_explains_itself(script: str, installed: Path, tmp_path: Path) -> None:
    assert "Usage" in run(installed / script, "--help", cwd=tmp_path)


def test_installed_command_knows_its_version(installed: Path, tmp_path: Path) -> None:
    assert pyaiot.__version__ in run(installed / "aiot", "--version", cwd=tmp_path)


def test_module_is_the_command(installed: Path, tmp_path: Path) -> None:
    output = run(installed / "python", "-m", "pyaiot", "--version", cwd=tmp_path)
    assert output == run(installed / "aiot", "--version", cwd=tmp_path)


def test_each_declared_script_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(project["scripts"]) == set(SCRIPTS)


def test_wheel_and_sdist_hold_the_built_dashboard(wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "pyaiot/web/built/index.html" in names
    assert any(re.fullmatch(r"pyaiot/web/built/assets/index-.*\.js", name) for name in names)
    with tarfile.open(sdist) as source:
        assert any(name.endswith("/src/pyaiot/web/built/index.html") for name in source.getnames())


def test_without_the_dashboard_there_is_no_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("node_modules", "built*", "__pycache__")
    for name in ("src", "scripts", "dashboard"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, source / name)
    result = subprocess.run(
        [sys.executable, "-I", "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=source,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},  # no Node.js here
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "The dashboard cannot be built, so there is no wheel" in result.stderr
    assert list(tmp_path.glob("*.whl")) == []


@pytest.mark.sockets
async def test_installed_broker_serves_and_ends(installed: Path, tmp_path: Path) -> None:
    run(installed / "aiot-generate-keys", cwd=tmp_path)
    broker = await asyncio.create_subprocess_exec(
        *(installed / "aiot", "broker", "--port", "0"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    assert broker.stdout is not None
    try:
        line = (await broker.stdout.readline()).decode()
        url = next(word for word in line.split() if word.startswith("http://"))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}healthz") as answer:
                assert answer.status == 200
            async with session.get(url) as page:
                assert "<html" in await page.text()
        broker.terminate()
        assert await broker.wait() == 0
    finally:
        if broker.returncode is None:
            broker.kill()
            await broker.wait()
