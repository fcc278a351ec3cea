# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add --protocol coap` prints: a key for DTLS."""

from collections.abc import Iterator, Mapping
from typing import Final

from pyaiot.config import Config
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.plugin import Language, NewDevice, Snippet
from pyaiot.transport.addresses import authority, is_loopback

_SUMMARIES: Final[Mapping[Language, str]] = {
    "en": "{uid} connects with CoAP over DTLS to coaps://{where} and posts to /alive and /server."
    " Its identity is {uid}. Its key is shown only now, 16 bytes in hexadecimal digits: {secret}",
    "fr": "{uid} se connecte en CoAP sur DTLS à coaps://{where} et envoie des POST à /alive et"
    " /server. Son identité est {uid}. Sa clé n’est affichée que maintenant, 16 octets en"
    " hexadécimal : {secret}",
    "de": "{uid} verbindet sich über CoAP mit DTLS mit coaps://{where} und sendet POST an /alive"
    " und /server. Seine Identität ist {uid}. Sein Schlüssel wird nur jetzt angezeigt, 16 Bytes"
    " hexadezimal: {secret}",
}


def summary(device: NewDevice) -> str:
    where = authority(device.host, device.config.of(CoapSection).coaps_port)
    return _SUMMARIES[device.language].format(uid=device.uid, where=where, secret=device.secret)


def snippets(device: NewDevice) -> Iterator[Snippet]:
    uid, host = device.uid, device.host
    port = device.config.of(CoapSection).coaps_port
    key = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(device.secret))
    yield Snippet(
        "riot",
        f"""\
# The Makefile of an application with gcoap:
USEMODULE += gcoap_dtls
USEPKG += tinydtls

/* Before the first request, which goes to {host}, port {port}, with
 * GCOAP_SOCKET_TYPE_DTLS as the last argument of gcoap_req_send(): */
#include "net/credman.h"
#include "net/gcoap.h"
#include "net/sock/dtls/creds.h"

static const uint8_t key[] = {{ {key} }};
static const credman_credential_t credential = {{
    .type = CREDMAN_TYPE_PSK,
    .tag = 1,
    .params.psk = {{
        .key = {{ .s = key, .len = sizeof(key) }},
        .id = {{ .s = "{uid}", .len = {len(uid)} }},
    }},
}};

credman_add(&credential);
sock_dtls_add_credential(gcoap_get_sock_dtls(), credential.tag);
""",
    )
    yield Snippet(
        "shell",
        f"""\
# One post of libcoap. Other users of this machine see the key while it runs.
coap-client-openssl -u {uid} -k "$(printf '{_escaped(device.secret)}')" \\
    -m post -e temperature:21.5 coaps://{authority(host, port)}/server
# A simulated node, until Ctrl+C:
(umask 077 && echo {device.secret} > {uid}.key)
aiot node coap --uid {uid} --psk-file {uid}.key --gateway-host {host} --gateway-port {port}
""",
    )


def is_local_only(config: Config) -> bool:
    return is_loopback(config.of(CoapSection).host)


def _escaped(secret: str) -> str:
    """For the `printf` of any shell, which knows octal digits."""
    return "".join(f"\\{byte:03o}" for byte in bytes.fromhex(secret))
