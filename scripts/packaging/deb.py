# SPDX-License-Identifier: BSD-3-Clause
"""Debian packages: Pyaiot and its dependencies in a separate environment, with the service.

The environment has the wheels of the lock file for the Python of that Debian, below
`/usr/lib/pyaiot`. It is assembled from the wheels, so any machine can make the package of any
architecture.
"""

import gzip
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pyaiot.systemd import units
from scripts.packaging import debian_files, manual, wheelhouse
from scripts.packaging.common import EPOCH, ROOT, VERSION, CannotRelease, report, run, source_date
from scripts.packaging.targets import DEBIANS, PLATFORMS

ARCHITECTURES: Final[Mapping[str, str]] = {"amd64": "x86_64", "arm64": "aarch64"}
"""The platform of each architecture. armhf has no wheels of cffi and msgspec."""
HOME: Final = "usr/lib/pyaiot"
"""The environment, below `/`."""
MODE: Final = 0o644
PROGRAM_MODE: Final = 0o755


def debian_version(release: str, version: str = VERSION) -> str:
    """The version of a package for a release of Debian. Release candidates sort before their
    version."""
    upstream = re.sub(r"(a|b|rc|\.dev)(?=[0-9])", r"~\1", version)
    return f"{upstream}-1~deb{release}"


def make(into: Path, release: str, architecture: str, wheel: Path, *, quick: bool = False) -> Path:
    """Build a package and return it. Raises `CannotRelease`. `quick`: without compression."""
    if shutil.which("dpkg-deb") is None:
        raise CannotRelease("A Debian package needs dpkg-deb: apt install dpkg.")
    python = DEBIANS[release]
    report(f"The package for Debian {release}, {architecture} ...")
    platform = ARCHITECTURES[architecture]
    wheels = wheelhouse.cache(platform)
    target = PLATFORMS[platform]
    packages = list(wheelhouse.wanted(target, python))
    wheelhouse.download(wheels, target, python, packages)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _environment(root, python, [wheel, *_chosen(wheels, packages, python)])
        _system_files(root)
        version = debian_version(release)
        debian_files.write(root, version=version, architecture=architecture, python=python)
        name = f"pyaiot_{version}_{architecture}.deb"
        date = source_date()
        _set_times(root, date)
        run(
            [
                *("dpkg-deb", "--root-owner-group"),
                *(["-Znone"] if quick else ["-Zxz", "-z6", "--threads-max=1"]),
                *("--build", root, into / name),
            ],
            variables={EPOCH: str(date)},
        )
    return into / name


def _chosen(folder: Path, packages: list[wheelhouse.Locked], python: str) -> list[Path]:
    """The wheel of each package for this Python. The folder may have wheels for several."""
    found = []
    for package in packages:
        wheel = wheelhouse.find(folder, package, python)
        if wheel is None:
            raise CannotRelease(
                f"{folder} has no wheel of {package.requirement} for Python {python}."
            )
        found.append(wheel)
    return found


def _environment(root: Path, python: str, wheels: list[Path]) -> None:
    """A virtual environment with the contents of wheels, for Debian's Python."""
    home = root / HOME
    site = home / "lib" / f"python{python}" / "site-packages"
    (home / "bin").mkdir(parents=True)
    site.mkdir(parents=True)
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n"
    )
    (home / "bin" / "python3").symlink_to(f"/usr/bin/python{python}")
    for wheel in wheels:
        _unpack(wheel, home, site)
    for name in sorted(_scripts()):
        path = home / "bin" / name
        function = "main" if name == "aiot" else "historic_main"
        path.write_text(
            f"#!/{HOME}/bin/python3\nimport sys\n\nfrom pyaiot.cli.entry import {function}\n\n"
            f"sys.exit({function}())\n"
        )
        path.chmod(PROGRAM_MODE)
        link = root / "usr" / "bin" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/{HOME}/bin/{name}")


def _scripts() -> set[str]:
    return {*(it for it in units.HISTORIC), "aiot"}


def _unpack(wheel: Path, home: Path, site: Path) -> None:
    """Copy the files of a wheel to the places where an installer puts them."""
    places = {"purelib": site, "platlib": site, "scripts": home / "bin", "data": home}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            path = Path(info.filename)
            if path.parts[0].endswith(".data"):
                place = places.get(path.parts[1])
                if place is None:
                    continue  # headers
                target = place.joinpath(*path.parts[2:])
            else:
                target = site / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(info))
            runs = (info.external_attr >> 16) & stat.S_IXUSR or target.parent == home / "bin"
            target.chmod(PROGRAM_MODE if runs else MODE)


def _system_files(root: Path) -> None:
    """The unit, the user, the settings, completion, manual pages and documents."""
    service = units.Service("run", "Pyaiot: everything", aliases=units.HISTORIC)
    unit = units.service_unit(service, ["/usr/bin/aiot"])
    unit = "\n".join(line for line in unit.splitlines() if not line.startswith("#")).lstrip()
    files = {
        f"usr/lib/systemd/system/{units.NAME}.service": unit + "\n",
        f"usr/lib/sysusers.d/{units.NAME}.conf": units.sysusers(),
        f"etc/{units.NAME}/config.toml": debian_files.SETTINGS,
        "usr/share/doc/pyaiot/copyright": debian_files.copyright_text(ROOT),
        **manual.completions(),
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    pages = {f"usr/share/man/man1/{name}": text for name, text in manual.pages().items()}
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for name, text in {**pages, "usr/share/doc/pyaiot/NEWS": changelog}.items():
        path = root / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _set_times(root: Path, date: int) -> None:
    for folder, folders, files in os.walk(root):
        Path(folder).chmod(PROGRAM_MODE)
        for name in (*folders, *files):
            os.utime(Path(folder) / name, (date, date), follow_symlinks=False)
    os.utime(root, (date, date))
