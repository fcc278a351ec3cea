# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `shelly-rpc`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (
        b'Rshellyplus1-a8032abe/online\x00true\x1e shellyplus1-a8032abe/events/rpc\x00{"src":'
        b'"shellyplus1-a8032abe","method":"NotifyStatus","params":{"switch:0":{"output":true}'
        b'}}\x1e pyaiot/shelly/shellyplus1-a8032abe/rpc\x00{"id":2,"src":"shellyplus1-a8032ab'
        b'e","error":{"code":-103,"message":"no"}}'
    ),
    (
        b'Rp/status/cover:0\x00{"id":0,"state":"open","current_pos":5}\x1e p/events/rpc\x00{"'
        b'src":"shellyplus2pm-a8032abe","method":"NotifyFullStatus","params":{"light:0":{"out'
        b'put":true,"brightness":5},"wifi":{"rssi":-5}}}'
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["shelly-rpc"], data)
