# SPDX-License-Identifier: BSD-3-Clause
"""When the certificates of the system are read. In separate processes: aiohttp is new there."""

import os
import subprocess
import sys
from pathlib import Path

from tests.authority import new_authority

_PROGRAM = """
import asyncio, ssl, sys
from pyaiot.transport.system_trust import import_aiohttp

if sys.argv[1] == "service":
    import_aiohttp()
import aiohttp
from aiohttp import connector, web
from pyaiot.transport.resolver import open_http_session

async def answer(request):
    return web.Response(text="hello")

async def run():
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    print(connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"])
    async with open_http_session() as session:
        try:
            async with session.get(url) as response:
                print(await response.text())
        except aiohttp.ClientError as error:
            print(type(error).__name__)
    await runner.cleanup()

asyncio.run(run())
"""


def _run(folder: Path, kind: str, authority: str = "") -> list[str]:
    """Certificates that aiohttp read, and the answer of a server that `authority` certified."""
    made = new_authority(folder)
    trusted = made.certificate(authority) if authority else folder / "none.pem"
    trusted.touch()
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind, made.certificate("server"), made.key("server")],
        env={**os.environ, "SSL_CERT_FILE": str(trusted), "SSL_CERT_DIR": str(folder / "none")},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()


def test_service_reads_the_certificates_of_the_system_with_its_first_tls_connection(
    tmp_path: Path,
) -> None:
    assert _run(tmp_path, "service", "ca") == ["0", "hello"]


def test_service_trusts_no_other_server(tmp_path: Path) -> None:
    assert _run(tmp_path, "service") == ["0", "ClientConnectorCertificateError"]


def test_aiohttp_of_other_programs_has_its_certificates(tmp_path: Path) -> None:
    assert _run(tmp_path, "library", "ca") == ["1", "hello"]


_TYPES_PROGRAM = """
import mimetypes
mimetypes.knownfiles[:] = [__import__("sys").argv[1]]
from pyaiot.transport.system_trust import import_aiohttp
import_aiohttp()
from pyaiot.web.stored_files import media_type

for name in ("a.unknown", "a.html", "a.css", "a.js", "a.svg", "a.png", "a.md", "a.json", "a.webp"):
    print(media_type(name) or "none")
"""


def test_types_of_files_are_not_those_of_the_machine(tmp_path: Path) -> None:
    table = tmp_path / "mime.types"
    table.write_text("text/plain unknown js html\n")
    found = subprocess.run(
        [sys.executable, "-c", _TYPES_PROGRAM, table], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [
        *("none", "text/html", "text/css", "text/javascript", "image/svg+xml", "image/png"),
        *("text/markdown", "application/json", "image/webp"),
    ]
