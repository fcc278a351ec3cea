# SPDX-License-Identifier: BSD-3-Clause
"""Messages of foreign MQTT devices. Each dialect receives all of them."""

from fuzz.dialect_checks import fuzz_dialects
from pyaiot.gateways.mqtt.dialects import DIALECTS

CORPUS: list[bytes] = [
    b"",
    b"Rtele/p/LWT\0Online\x1e tele/p/STATE\0" + b'{"POWER":"ON","Dimmer":5,"Wifi":{"Signal":-5}}',
    (
        b'Rtasmota/discovery/AABBCC/config\0{"t":"p","ft":"%prefix%/%topic%/","tp":["cmnd","stat",'
        b'"tele"],"rl":[1],"fn":["x"]}\x1e tele/p/SENSOR\0{"A":{"Temperature":1},"TempUnit":"F"}'
    ),
    (
        b'Rzigbee2mqtt/bridge/devices\0[{"ieee_address":"0x1","friendly_name":"l/a","definition":'
        b'{"exposes":[{"type":"light","features":[{"type":"binary","property":"state","access":7,'
        b'"value_on":"ON","value_off":"OFF"}]},{"type":"numeric","property":"t","unit":"%"}]}}]'
        b'\x1e zigbee2mqtt/l/a\0{"state":"ON","t":5}\x1e zigbee2mqtt/l/a/availability\0online'
    ),
    (
        b"Rshellies/s/online\0true\x1e shellies/s/relay/0\0on\x1e shellies/s/relay/0/power\0001.5"
        b'\x1e shellies/announce\0{"id":"s","model":"m"}\x1e shellies/s/roller/0/pos\0005'
    ),
    (
        b'Rshellyplus1-a8032abe/online\0true\x1e shellyplus1-a8032abe/events/rpc\0{"src":'
        b'"shellyplus1-a8032abe","method":"NotifyStatus","params":{"switch:0":{"output":true}}}'
        b'\x1e pyaiot/shelly/shellyplus1-a8032abe/rpc\0{"id":2,"src":"shellyplus1-a8032abe",'
        b'"error":{"code":-103,"message":"no"}}'
    ),
    (
        b"Rhomie/k/b/p/$datatype\0float\x1eRhomie/k/b/p/$settable\0true\x1eRhomie/k/b/p\0005.5"
        b"\x1eRhomie/k/$state\0ready"
    ),
    (
        b'Rhomie/5/k/$description\0{"nodes":{"n":{"properties":{"p":{"datatype":"enum","format":"a,b"'
        b',"settable":true}}}}}\x1eRhomie/5/k/n/p\0a'
    ),
    b" sensors/attic/t\0005.5\x1e sensors/attic/t\0on\x1e csv/a\0x,5,6",
    b' json/a\0{"a":[{"b":5}],"c":{"d":true}}\x1e paths/a\0{"a":[{"b":5}]}',
    (
        b" spBv1.0/g/NBIRTH/e\0\x12\x09\x0a\x01x\x10\x01\x20\x03\x50\x05\x18\x00"
        b"\x1e spBv1.0/g/NDATA/e\0\x12\x04\x10\x01\x50\x06\x18\x01"
    ),
    (
        b'Rhomeassistant/sensor/x/config\0{"stat_t":"d/s","dev":{"ids":"d"},"unit_of_meas":"%",'
        b'"val_tpl":"{{ (value_json.a[0] | float / 2) | round(1) }}"}\x1e d/s\0{"a":[5]}'
    ),
    (
        b'Rhomeassistant/device/x/config\0{"dev":{"ids":"d"},"cmps":{"a":{"p":"light","schema":"json",'
        b'"cmd_t":"d/c","stat_t":"d/s","brightness":true,"sup_clrm":["rgb"]}}}'
        b'\x1e d/s\0{"state":"ON","color":{"r":1,"g":2,"b":3}}'
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(DIALECTS, data)
