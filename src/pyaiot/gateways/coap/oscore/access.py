# SPDX-License-Identifier: BSD-3-Clause
"""The output of `aiot device add --protocol oscore`: the security context in several formats."""

from collections.abc import Iterator, Mapping
from typing import Final

from pyaiot.config import Config
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.plugin import Language, NewDevice, Snippet
from pyaiot.protocols.coap.numbers import COAP_PORT
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from pyaiot.transport.addresses import is_loopback

_SUMMARIES: Final[Mapping[Language, str]] = {
    "en": "{uid} may use CoAP with OSCORE (RFC 8613) at {uri}, and must: messages without it are"
    " refused. Sender ID of the device: {device}, of the gateway: {gateway} (hexadecimal)."
    " AES-CCM-16-64-128, HKDF with SHA-256, no salt, no ID context.",
    "fr": "{uid} peut utiliser CoAP avec OSCORE (RFC 8613) à {uri}, et le doit : les messages sans"
    " OSCORE sont refusés. Sender ID de l’appareil : {device}, de la passerelle : {gateway}"
    " (hexadécimal). AES-CCM-16-64-128, HKDF avec SHA-256, sans sel, sans contexte d’identifiant.",
    "de": "{uid} kann CoAP mit OSCORE (RFC 8613) benutzen, bei {uri}, und muss es: Nachrichten ohne"
    " OSCORE werden abgewiesen. Sender-ID des Geräts: {device}, des Gateways: {gateway}"
    " (hexadezimal). AES-CCM-16-64-128, HKDF mit SHA-256, kein Salt, kein ID-Kontext.",
}


def summary(device: NewDevice) -> str:
    return _SUMMARIES[device.language].format(
        uid=device.uid,
        uri=uri_of(device),
        device=device_id(device.uid).hex(),
        gateway=GATEWAY_ID.hex(),
    )


def snippets(device: NewDevice) -> Iterator[Snippet]:
    uid, secret, uri = device.uid, device.secret, uri_of(device)
    sender, recipient = device_id(uid).hex(), GATEWAY_ID.hex()
    yield Snippet(
        "riot",
        f"""\
/* RIOT with libOSCORE: the arguments of oscore_context_primitive_derive(). No salt. */
static const uint8_t master_secret[] = {{{c_bytes(secret)}}};
static const uint8_t sender_id[] = {{{c_bytes(sender)}}};
static const uint8_t recipient_id[] = {{{c_bytes(recipient)}}};
""",
    )
    yield Snippet(
        "shell",
        f"""\
# aiocoap with its extra "oscore". The folder also keeps the sequence numbers: use it in one place.
umask 077
mkdir {uid}
cat > {uid}/settings.json <<'END'
{{"secret_hex": "{secret}",
 "sender-id_hex": "{sender}", "recipient-id_hex": "{recipient}"}}
END
cat > {uid}/credentials.json <<'END'
{{"{uri}/*": {{"oscore": {{"basedir": "{uid}"}}}}}}
END
aiocoap-client --credentials {uid}/credentials.json -m POST --payload 'alive:{uid}' {uri}/alive
aiocoap-client --credentials {uid}/credentials.json -m POST --payload 'led:1' {uri}/server
""",
    )
    yield Snippet(
        "shell",
        f"""\
# libcoap from 4.3.2.
umask 077
cat > {uid}.conf <<'END'
master_secret,hex,"{secret}"
sender_id,hex,"{sender}"
recipient_id,hex,"{recipient}"
END
coap-client -E {uid}.conf,{uid}.seq -m post -e 'alive:{uid}' {uri}/alive
""",
    )


def is_local_only(config: Config) -> bool:
    return is_loopback(config.of(CoapSection).host)


def uri_of(device: NewDevice) -> str:
    """The URI of the gateway for the device."""
    port = device.config.of(CoapSection).port
    host = f"[{device.host}]" if ":" in device.host else device.host
    return f"coap://{host}" if port == COAP_PORT else f"coap://{host}:{port}"


def c_bytes(digits: str) -> str:
    """Hexadecimal digits as the elements of an array in C."""
    return ", ".join(f"0x{digits[at : at + 2]}" for at in range(0, len(digits), 2))
