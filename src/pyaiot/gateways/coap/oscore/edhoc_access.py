# SPDX-License-Identifier: BSD-3-Clause
"""Creates and prints the key pair of a device for EDHOC: `aiot device add --protocol edhoc`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pyaiot.accounts.devices import KEY_PAIR_FILE
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.gateways.base import device_file
from pyaiot.gateways.coap.oscore.access import c_bytes, uri_of
from pyaiot.gateways.coap.oscore.edhoc_key import make_key
from pyaiot.gateways.plugin import Enrolled, Language, NewDevice, Snippet
from pyaiot.protocols.edhoc.credentials import (
    GATEWAY_KEY_ID,
    GATEWAY_NAME,
    device_credential,
    gateway_credential,
    key_id_of,
    new_private_key,
    public_key_of,
    read_public_key,
)
from pyaiot.protocols.edhoc.responder import check_available

_SUMMARIES: Final[Mapping[Language, str]] = {
    "en": "{uid} may use CoAP with OSCORE after an EDHOC handshake (RFC 9528) at"
    " {uri}/.well-known/edhoc, and must: messages without it are refused. Method 3, cipher suite 2."
    " Key identifier of the device: {key_id}, of the gateway: {gateway} (hexadecimal).",
    "fr": "{uid} peut utiliser CoAP avec OSCORE après une négociation EDHOC (RFC 9528) à"
    " {uri}/.well-known/edhoc, et le doit : les messages sans OSCORE sont refusés. Méthode 3, suite"
    " 2. Identifiant de clé de l’appareil : {key_id}, de la passerelle : {gateway} (hexadécimal).",
    "de": "{uid} kann CoAP mit OSCORE nach einem EDHOC-Handshake (RFC 9528) benutzen, bei"
    " {uri}/.well-known/edhoc, und muss es: Nachrichten ohne OSCORE werden abgewiesen. Methode 3,"
    " Cipher Suite 2. Schlüsselkennung des Geräts: {key_id}, des Gateways: {gateway}"
    " (hexadezimal).",
}


def key_file(config: Config) -> Path | None:
    """The file of the private key of the gateway, beside the credentials; None if credentials are
    off."""
    devices = device_file(config.devices)
    return None if devices is None else devices.with_name(KEY_PAIR_FILE)


def enroll(config: Config, public_key: str) -> Enrolled:
    """Create a key pair for a device, or use its public key in hexadecimal digits. The first device
    also creates the key pair of the gateway. Raises `OperatorError`."""
    check_available()
    path = key_file(config)
    if path is not None:
        make_key(path)
    if not public_key:
        private = new_private_key()
        return Enrolled(private.hex(), public_key_of(private))
    try:
        return Enrolled("", read_public_key(bytes.fromhex(public_key)))
    except ValueError as error:
        raise OperatorError(
            "A public key is a point of P-256 in hexadecimal digits: x and y, or in the form of"
            " X9.62."
        ) from error


def summary(device: NewDevice) -> str:
    return _SUMMARIES[device.language].format(
        uid=device.uid,
        uri=uri_of(device),
        key_id=key_id_of(device.uid).hex(),
        gateway=GATEWAY_KEY_ID.hex(),
    )


def snippets(device: NewDevice) -> Iterator[Snippet]:
    uid, uri = device.uid, uri_of(device)
    gateway = public_key_of(_gateway_key(device.config))
    secret = device.secret or "00" * 32
    replace = "" if device.secret else "Replace the private key by that of the device. "
    yield Snippet(
        "riot",
        f"""\
/* For an implementation of EDHOC in C, as uOSCORE-uEDHOC or lakers. {replace}*/
static const uint8_t private_key[] = {{{c_bytes(secret)}}};
static const uint8_t cred_i[] = {{{c_bytes(device_credential(uid, device.stored).hex())}}};
static const uint8_t cred_r[] = {{{c_bytes(gateway_credential(gateway).hex())}}};
""",
    )
    own = _diagnostic(uid, key_id_of(uid), device.stored)
    peer = _diagnostic(GATEWAY_NAME, GATEWAY_KEY_ID, gateway)
    yield Snippet(
        "shell",
        f"""\
# aiocoap with its extra "oscore". {replace}
umask 077
cat > {uid}.diag <<'END'
{{"{uri}/*": {{"edhoc-oscore": {{
  "suite": 2, "method": 3, "own_cred_style": "by-key-id",
  "private_key": {{1: 2, -1: 1, -4: h'{secret}'}},
  "own_cred": {own},
  "peer_cred": {peer}
}}}}}}
END
aiocoap-client --credentials {uid}.diag -m POST --payload 'alive:{uid}' {uri}/alive
aiocoap-client --credentials {uid}.diag -m POST --payload 'led:1' {uri}/server
""",
    )


def _gateway_key(config: Config) -> bytes:
    path = key_file(config)
    if path is None:
        raise OperatorError("Credentials of devices are off: there is no key of the gateway.")
    return make_key(path)


def _diagnostic(name: str, key_id: bytes, public_key: bytes) -> str:
    """A credential in the diagnostic notation of CBOR (RFC 8949 section 8)."""
    x, y = public_key[:32].hex(), public_key[32:].hex()
    key = f"{{1: 2, 2: h'{key_id.hex()}', -1: 1, -2: h'{x}', -3: h'{y}'}}"
    return f'{{14: {{2: "{name}", 8: {{1: {key}}}}}}}'
