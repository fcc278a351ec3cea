# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add --protocol mqtt` prints."""

from collections.abc import Iterator, Mapping
from typing import Final

from pyaiot.config import Config
from pyaiot.gateways.mqtt.dialect_access import ACCESSES, DialectAccess
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.plugin import Language, NewDevice, Snippet
from pyaiot.transport.addresses import is_loopback

_SUMMARIES: Final[Mapping[Language, str]] = {
    "en": "{uid} connects with MQTT 3.1.1 to {host} port {port}. Its client id and user name are"
    " {uid}, and it uses the topics node/{uid}/... and gateway/{uid}/... Its password is shown only"
    " now: {secret}",
    "fr": "{uid} se connecte en MQTT 3.1.1 à {host}, port {port}. Son identifiant de client et son"
    " nom d’utilisateur sont {uid}, et il utilise les sujets node/{uid}/... et gateway/{uid}/..."
    " Son mot de passe n’est affiché que maintenant : {secret}",
    "de": "{uid} verbindet sich über MQTT 3.1.1 mit {host}, Port {port}. Client-ID und Benutzername"
    " sind {uid}; es benutzt die Topics node/{uid}/... und gateway/{uid}/... Sein Passwort wird nur"
    " jetzt angezeigt: {secret}",
}
_WITH_TLS: Final[Mapping[Language, str]] = {
    "en": "It uses TLS, and needs the certificate of this machine (in the code: pyaiot.crt).",
    "fr": "Il utilise TLS et a besoin du certificat de cette machine (dans le code : pyaiot.crt).",
    "de": "Es benutzt TLS und braucht das Zertifikat dieses Rechners (im Code: pyaiot.crt).",
}
_OTHER_BROKER: Final[Mapping[Language, str]] = {
    "en": "The credential is for the embedded MQTT broker. The one at {broker} has its own users.",
    "fr": "Ces identifiants sont pour le broker MQTT intégré. Celui de {broker} a ses propres"
    " utilisateurs.",
    "de": "Die Zugangsdaten gelten für den eingebauten MQTT-Broker. Der auf {broker} hat eigene"
    " Benutzer.",
}


def summary(device: NewDevice) -> str:
    section = device.config.of(MqttSection)
    language = device.language
    sentences = [
        _SUMMARIES[language].format(
            uid=device.uid, host=device.host, port=section.port, secret=device.secret
        )
    ]
    if _has_tls(device.config):
        sentences.append(_WITH_TLS[language])
    if section.host:
        sentences.append(_OTHER_BROKER[language].format(broker=section.host))
    return "\n".join(sentences)


def snippets(device: NewDevice) -> Iterator[Snippet]:
    uid, secret, host = device.uid, device.secret, device.host
    port = device.config.of(MqttSection).port
    has_tls = _has_tls(device.config)
    of_python = ", ssl=context" if has_tls else ""
    context = """\
import ssl

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(cafile="pyaiot.crt")
"""
    yield Snippet(
        "micropython",
        f"""\
from umqtt.simple import MQTTClient
{context if has_tls else ""}
client = MQTTClient("{uid}", "{host}", {port}, "{uid}", "{secret}", keepalive=60{of_python})
client.connect()
client.publish(b"node/{uid}/temperature", b'{{"value":"21.5 C"}}')
""",
    )
    yield Snippet(
        "arduino",
        f"""\
#include <PubSubClient.h>  // and the client of your network, such as WiFiClient

{"WiFiClientSecure" if has_tls else "WiFiClient"} network;
PubSubClient client(network);

void connectToPyaiot() {{
  client.setServer("{host}", {port});
  if (client.connect("{uid}", "{uid}", "{secret}")) {{
    client.publish("node/{uid}/temperature", "{{\\"value\\":\\"21.5 C\\"}}");
  }}
}}
""",
    )
    yield Snippet(
        "riot",
        f"""\
# In the shell of RIOT's example paho-mqtt, or the same with MQTTConnect():
con {host} {port} {uid} {uid} {secret} 60
pub node/{uid}/temperature 21.5 0
""",
    )
    yield Snippet(
        "shell",
        f"""\
mkdir -p ~/.config/pyaiot-{uid} && chmod 700 ~/.config/pyaiot-{uid}
cat > ~/.config/pyaiot-{uid}/mosquitto_pub <<'END'
-h {host}
-p {port}
-i {uid}
-u {uid}
-P {secret}
{"--cafile pyaiot.crt" + chr(10) if has_tls else ""}END
XDG_CONFIG_HOME=~/.config/pyaiot-{uid} mosquitto_pub -t node/{uid}/temperature -m '21.5 C'
""",
    )


def _has_tls(config: Config) -> bool:
    return config.tls.covers("mqtt")


_FOREIGN: Final[Mapping[Language, str]] = {
    "en": "In the settings of the device: {settings}. MQTT server: {host}. Port: {port}. User:"
    " {uid}. Client id: {client_id}. Password, shown only now: {secret}",
    "fr": "Dans les réglages de l’appareil : {settings}. Serveur MQTT : {host}. Port : {port}."
    " Utilisateur : {uid}. Identifiant de client : {client_id}. Mot de passe, affiché seulement"
    " maintenant : {secret}",
    "de": "In den Einstellungen des Geräts: {settings}. MQTT-Server: {host}. Port: {port}."
    " Benutzer: {uid}. Client-ID: {client_id}. Passwort, nur jetzt angezeigt: {secret}",
}


def _access_of(uid: str) -> DialectAccess:
    return next(it for it in ACCESSES.values() if uid.startswith(it.uid_prefix))


def foreign_summary(device: NewDevice) -> str:
    """What to enter in the settings of a foreign device."""
    access, section = _access_of(device.uid), device.config.of(MqttSection)
    sentences = [
        _FOREIGN[device.language].format(
            settings=access.settings.format(**access.parts(device.uid)),
            host=device.host,
            port=section.port,
            uid=device.uid,
            client_id=access.client_id(device.uid),
            secret=device.secret,
        )
    ]
    if _has_tls(device.config):
        sentences.append(_WITH_TLS[device.language])
    if section.host:
        sentences.append(_OTHER_BROKER[device.language].format(broker=section.host))
    return "\n".join(sentences)


def foreign_snippets(device: NewDevice) -> Iterator[Snippet]:
    """How to try the credential with a client of mosquitto."""
    access, uid = _access_of(device.uid), device.uid
    command = access.example.format(**access.parts(uid))
    program = command.partition(" ")[0]
    yield Snippet(
        "shell",
        f"""\
mkdir -p ~/.config/pyaiot-{uid} && chmod 700 ~/.config/pyaiot-{uid}
cat > ~/.config/pyaiot-{uid}/{program} <<'END'
-h {device.host}
-p {device.config.of(MqttSection).port}
-i {access.client_id(uid)}
-u {uid}
-P {device.secret}
{"--cafile pyaiot.crt" + chr(10) if _has_tls(device.config) else ""}END
XDG_CONFIG_HOME=~/.config/pyaiot-{uid} {command}
""",
    )


def is_local_only(config: Config) -> bool:
    section = config.of(MqttSection)
    return not section.host and is_loopback(section.listen)
