# SPDX-License-Identifier: BSD-3-Clause
"""The control files of the Debian package: its dependencies, and its scripts."""

from pathlib import Path
from typing import Final

SETTINGS: Final = """\
# Settings of Pyaiot. `aiot config --show` lists all of them; after a change:
# systemctl restart pyaiot
#
# It is reachable from this machine only. To open it to the network, remove the # below; then
# `sudo aiot service exec invite --role admin` prints a link that signs you in.
#
# [broker]
# host = "::"
# insecure = true    # HTTP without TLS; docs/how-to/serve-over-tls.md has the alternative
#
# [coap]
# host = "::"
"""

CONTROL: Final = """\
Package: pyaiot
Version: {version}
Architecture: {architecture}
Maintainer: The Pyaiot authors <pyaiot@localhost>
Installed-Size: {size}
Depends: python3 (>= {python}~), python3 (<< {next_python}~), libc6 (>= 2.36),
 systemd | systemd-standalone-sysusers, init-system-helpers (>= 1.54~)
Recommends: ca-certificates
Suggests: postgresql, mosquitto
Section: net
Priority: optional
Description: Connects constrained IoT devices to the web
 Devices that speak CoAP, MQTT, MQTT-SN or WebSocket appear in the browser, with
 live values, a history, and a receipt for every command. It needs no
 configuration for a new device, and works without the internet.
 .
 The package has its Python dependencies and an MQTT broker (nats-server) in
 /usr/lib/pyaiot, and a service of systemd.
"""

POSTINST: Final = """\
#!/bin/sh
set -e

if [ "$1" = configure ]; then
    systemd-sysusers pyaiot.conf
    # It may get the password of a database: only root and the service read it.
    chgrp pyaiot /etc/pyaiot/config.toml
    chmod 0640 /etc/pyaiot/config.toml
    # Without it, each start would compile everything again.
    /usr/lib/pyaiot/bin/python3 -m compileall -q -j 0 /usr/lib/pyaiot/lib >/dev/null || true
fi

if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-remove ]; then
    deb-systemd-helper unmask pyaiot.service >/dev/null || true
    if deb-systemd-helper --quiet was-enabled pyaiot.service; then
        deb-systemd-helper enable pyaiot.service >/dev/null || true
    else
        deb-systemd-helper update-state pyaiot.service >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        # A service that cannot start, for example because its port is in use, is not a failed
        # installation: systemd tries again, and `aiot service logs` has the reason.
        deb-systemd-invoke restart pyaiot.service >/dev/null || true
    fi
fi
"""

PRERM: Final = """\
#!/bin/sh
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop pyaiot.service >/dev/null || true
fi
# What the installation compiled is not in the list of the package's files.
find /usr/lib/pyaiot -depth -type d -name __pycache__ -exec rm -rf {} + 2>/dev/null || true
"""

POSTRM: Final = """\
#!/bin/sh
set -e

if [ "$1" = remove ]; then
    deb-systemd-helper mask pyaiot.service >/dev/null 2>&1 || true
fi
if [ "$1" = purge ]; then
    deb-systemd-helper purge pyaiot.service >/dev/null 2>&1 || true
    deb-systemd-helper unmask pyaiot.service >/dev/null 2>&1 || true
    rm -rf /var/lib/pyaiot /etc/pyaiot
    if getent passwd pyaiot >/dev/null; then userdel pyaiot >/dev/null 2>&1 || true; fi
fi
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
"""


def write(root: Path, *, version: str, architecture: str, python: str) -> None:
    """Write the folder DEBIAN of a package whose other files exist."""
    folder = root / "DEBIAN"
    folder.mkdir()
    size = sum(
        path.lstat().st_size for path in root.rglob("*") if path.is_file() or path.is_symlink()
    )
    major, minor = python.split(".")
    control = CONTROL.format(
        version=version,
        architecture=architecture,
        size=-(-size // 1024),
        python=python,
        next_python=f"{major}.{int(minor) + 1}",
    )
    (folder / "control").write_text(control)
    (folder / "conffiles").write_text("/etc/pyaiot/config.toml\n")
    for name, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def copyright_text(root: Path) -> str:
    """The licence of Pyaiot, and where those of its dependencies are."""
    return (
        (root / "LICENSE").read_text("utf-8")
        + "\n\nThe licences of the packages in /usr/lib/pyaiot are in their *.dist-info folders"
        " there.\n"
    )
