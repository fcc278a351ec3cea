# SPDX-License-Identifier: BSD-3-Clause
"""Pages and gateways that know only the legacy protocol work, byte for byte."""

import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from pyaiot.broker.keys import Keys, mint_token
from tests.running import new_key_file, running_broker

CLOSE_REASON_MAX = 123
LINE = re.compile(r"(?P<peer>\w+) (?P<verb>>|<|connects to|leaves) ?(?P<rest>.*)")


def scenes() -> Iterator[tuple[str, list[str]]]:
    """Title and lines of each scene of the transcript."""
    text = Path(__file__).with_name("legacy_transcript.txt").read_text(encoding="utf-8")
    for scene in text.split("\n== ")[1:]:
        title, *lines = scene.splitlines()
        yield title, [line for line in lines if line and not line.startswith("#")]


SCENES = dict(scenes())


class Stage:
    """The peers of a scene, and the ids that they have learnt."""

    def __init__(self, url: str, keys: Keys, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._keys = keys
        self._session = session
        self._sockets: dict[str, aiohttp.ClientWebSocketResponse] = {}
        self._ids: dict[str, str] = {}

    async def play(self, line: str) -> None:
        parts = LINE.fullmatch(line)
        assert parts is not None, f"no such line: {line}"
        peer, rest = parts["peer"], parts["rest"]
        match parts["verb"]:
            case "connects to":
                await self._connect(peer, rest)
            case ">":
                await self._sockets[peer].send_str(rest)
            case "<" if rest.startswith("close "):
                await self._closed(peer, int(rest.removeprefix("close ")))
            case "<":
                self._compare(await self._sockets[peer].receive_str(), rest)
            case "leaves":
                await self._sockets.pop(peer).close()

    async def _connect(self, peer: str, path: str) -> None:
        assert path in ("/ws", "/gw")
        # In this order, on one line: Sec-WebSocket-Protocol: token, <T>
        protocols = ("token", mint_token(self._keys)) if path == "/gw" else ()
        url = self._url.rstrip("/") + path
        socket = await self._session.ws_connect(url, protocols=protocols)
        # A strict client wants one of its subprotocols selected, and none if it has none.
        assert socket.protocol == ("token" if path == "/gw" else None)
        self._sockets[peer] = socket

    async def _closed(self, peer: str, code: int) -> None:
        frame = await self._sockets[peer].receive()
        assert frame.type == aiohttp.WSMsgType.CLOSE
        assert frame.data == code
        assert frame.extra
        assert len(frame.extra.encode()) <= CLOSE_REASON_MAX

    def _compare(self, frame: str, expected: str) -> None:
        for name, client_id in self._ids.items():
            expected = expected.replace(f"<{name}>", client_id)
        pattern = re.sub(r"<(\w+)>", r"(?P<\1>[^\"]+)", re.escape(expected))
        found = re.fullmatch(pattern, frame)
        assert found is not None, f"received {frame}\nexpected {expected}"
        assert "all" not in found.groups()
        self._ids |= found.groupdict()


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Keys]:
    return new_key_file(tmp_path_factory.mktemp("keys"))


@pytest.mark.sockets
@pytest.mark.parametrize("title", SCENES)
async def test_legacy_protocol(title: str, key_file: tuple[Path, Keys]) -> None:
    path, keys = key_file
    async with running_broker(path) as broker, aiohttp.ClientSession() as session:
        stage = Stage(broker.url, keys, session)
        for line in SCENES[title]:
            await stage.play(line)


def test_every_line_of_the_transcript_belongs_to_a_scene() -> None:
    assert len(SCENES) == 9
    assert all(LINE.fullmatch(line) for lines in SCENES.values() for line in lines)
