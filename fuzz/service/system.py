# SPDX-License-Identifier: BSD-3-Clause
"""`aiot run` as a process with all its listeners."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from fuzz.service.sockets import ANSWER_LIMIT_S, HOST, free_udp_port

UID: Final = "0123456789ABCDE"
"""The node of the corpus. It is registered."""
HONEST: Final = ("honest-coap", "honest-node")
"""Nodes of valid requests. They are registered, too."""
SECURED: Final = {
    "secured-coap": "coap",
    "secured-edhoc": "edhoc",
    "secured-oscore": "oscore",
    "honest-dtls": "coap",
    "honest-oscore": "oscore",
}
"""Devices with a credential, and its protocol."""
START_LIMIT_S: Final = 30.0


class System:
    """`aiot run` as a process with all its listeners."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self.folder = folder
        self.log = folder / "log"
        environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("AIOT_", "XDG_"))
        }
        arguments = [sys.executable, "-m", "pyaiot"]
        environment |= {"HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        # Where admission is `known`, MQTT requires the credential of a device.
        environment["AIOT_REGISTRY_ADMISSION_OF"] = "MQTT=open"
        self.keys = folder / "keys"
        if not self.keys.exists():
            subprocess.run(
                [*arguments, "generate-keys", "--key-file", self.keys],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        # The port for DTLS is open while a device has a key.
        for uid, protocol in SECURED.items():
            subprocess.run(
                [*arguments, "device", "add", uid, "--protocol", protocol],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        coaps = free_udp_port()
        flags = [
            "--coaps-port",
            str(coaps),
            "--web-port",
            "0",
            "--coap-port",
            "0",
            "--ws-port",
            "0",
            "--mqtt-port",
            "0",
        ]
        flags += ["--mqttsn-port", "0", "--key-file", str(self.keys), "--admission", "known"]
        if tls:
            flags += ["--tls-cert", str(certificate(folder)), "--tls-listener", "web"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*arguments, "run", *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        text = self._startup()
        scheme = "https" if tls else "http"
        patterns = {
            "web": rf"{scheme}://[^ /]*:(\d+)/",
            "coap": r"CoAP: UDP port (\d+)",
            "node": r"WebSocket: TCP port (\d+)",
            "mqtt": r"MQTT: TCP port (\d+)",
            "mqttsn": r"MQTT-SN: UDP port (\d+)",
        }
        self.ports: dict[str, int] = {"coaps": coaps}
        for name, pattern in patterns.items():
            found = re.search(pattern, text)
            assert found is not None, text
            self.ports[name] = int(found[1])
        if not tls:
            body = {"nodes": [{"uid": uid} for uid in (UID, "A", "hnode", *HONEST, *SECURED)]}
            request = urllib.request.Request(
                f"http://{HOST}:{self.ports['web']}/api/nodes",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    @property
    def problems(self) -> list[str]:
        """Lines of the log that report a failure."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if "Traceback" in line or " CRITICAL " in line]

    def resident_bytes(self) -> int:
        text = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    @cached_property
    def secrets(self) -> dict[str, bytes]:
        """The keys of `SECURED`."""
        from pyaiot.accounts.devices import FILE_NAME, DeviceStore  # slow to import

        (path,) = self.folder.rglob(FILE_NAME)
        store = DeviceStore(path)
        found = {it.uid: it.secret for it in store.credentials()}
        store.close()
        return found

    def gateway_token(self) -> str:
        from pyaiot.broker.keys import load_keys, mint_token  # slow to import

        return mint_token(load_keys(self.keys))

    def _startup(self) -> str:
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and self.lives:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            if "(Ctrl+C ends it)" in text:
                return text
            time.sleep(0.05)
        raise SystemExit(f"aiot run did not start: {self.log.read_text(encoding='utf-8')}")


def certificate(folder: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = folder / "certificate.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path.touch(mode=0o600)
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path
