# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add --protocol ws` prints."""

from collections.abc import Iterator, Mapping
from typing import Final

from pyaiot.config import Config
from pyaiot.gateways.plugin import Language, NewDevice, Snippet
from pyaiot.gateways.websocket.settings import WebsocketSection
from pyaiot.transport.addresses import authority, is_loopback

_SUMMARIES: Final[Mapping[Language, str]] = {
    "en": "{uid} connects to {url} with the header Authorization: Bearer and its token, or with the"
    " subprotocols token and its token. The token is shown only now: {secret}",
    "fr": "{uid} se connecte à {url} avec l’en-tête Authorization: Bearer et son jeton, ou avec les"
    " sous-protocoles token et son jeton. Le jeton n’est affiché que maintenant : {secret}",
    "de": "{uid} verbindet sich mit {url}, mit dem Header Authorization: Bearer und seinem Token,"
    " oder mit den Subprotokollen token und seinem Token. Das Token wird nur jetzt angezeigt:"
    " {secret}",
}


def summary(device: NewDevice) -> str:
    scheme = "wss" if _has_tls(device.config) else "ws"
    port = device.config.of(WebsocketSection).port
    url = f"{scheme}://{authority(device.host, port)}/node"
    return _SUMMARIES[device.language].format(uid=device.uid, url=url, secret=device.secret)


def snippets(device: NewDevice) -> Iterator[Snippet]:
    host, port = device.host, device.config.of(WebsocketSection).port
    at = authority(host, port)
    begin = "node.beginSSL" if _has_tls(device.config) else "node.begin"
    imports = encrypt = ""
    if _has_tls(device.config):
        imports = "import ssl\n"
        encrypt = """\
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False  # the certificate is checked, its name is not
context.load_verify_locations(cafile="pyaiot.crt")  # the certificate of this machine
peer = context.wrap_socket(peer)
"""
    program = f"""\
import socket
{imports}
peer = socket.socket()
peer.connect(socket.getaddrinfo("{host}", {port})[0][-1])
{encrypt}\
peer.send(
    b"GET /node HTTP/1.1\\r\\nHost: {at}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: cHlhaW90LXB5YWlvdC0xMg==\\r\\n"
    b"Authorization: Bearer {device.secret}\\r\\n\\r\\n"
)
print(peer.recv(12))  # HTTP/1.1 101: it was accepted
text = b'{{"type":"update","data":{{"temperature":"21.5 C"}}}}'  # up to 125 bytes
peer.send(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
while peer.recv(100):  # the node is online while it is connected
    pass
"""
    yield Snippet("micropython", program)
    yield Snippet(
        "arduino",
        f"""\
#include <WebSocketsClient.h>  // the library WebSockets of Markus Sattler

WebSocketsClient node;
unsigned long sentAt = 0;

void setup() {{
  // ... connect to the network first
  node.setExtraHeaders("Authorization: Bearer {device.secret}");
  {begin}("{host}", {port}, "/node");
}}

void loop() {{
  node.loop();
  if (millis() - sentAt >= 2000) {{
    sentAt = millis();
    node.sendTXT("{{\\"type\\":\\"update\\",\\"data\\":{{\\"temperature\\":\\"21.5 C\\"}}}}");
  }}
}}
""",
    )
    yield Snippet("shell", f"python3 - <<'END'\n{program}END\n")


def _has_tls(config: Config) -> bool:
    return config.tls.covers("websocket")


def is_local_only(config: Config) -> bool:
    return is_loopback(config.of(WebsocketSection).host)
