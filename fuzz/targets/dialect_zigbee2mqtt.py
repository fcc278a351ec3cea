# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `zigbee2mqtt`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (
        b'Rzigbee2mqtt/bridge/devices\x00[{"ieee_address":"0x1","friendly_name":"l/a","defini'
        b'tion":{"exposes":[{"type":"light","features":[{"type":"binary","property":"state","'
        b'access":7,"value_on":"ON","value_off":"OFF"}]},{"type":"numeric","property":"t","un'
        b'it":"%"}]}}]\x1e zigbee2mqtt/l/a\x00{"state":"ON","t":5}\x1e zigbee2mqtt/l/a/availa'
        b"bility\x00online"
    ),
    (
        b'Rzigbee2mqtt/bridge/devices\x00[{"ieee_address":"0x2","friendly_name":"t","definiti'
        b'on":{"exposes":[{"type":"climate","features":[{"type":"numeric","property":"s","acc'
        b'ess":7,"value_min":5,"value_max":30,"value_step":0.5}]},{"type":"enum","property":"'
        b'a","access":2,"values":["x"]},{"type":"composite","property":"c","features":[]}]}}]'
        b'\x1e zigbee2mqtt/t\x00{"s":5,"c":{"x":1}}\x1e zigbee2mqtt/bridge/state\x00offline'
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["zigbee2mqtt"], data)
