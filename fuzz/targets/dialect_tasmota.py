# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `tasmota`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (b'Rtele/p/LWT\x00Online\x1e tele/p/STATE\x00{"POWER":"ON","Dimmer":5,"Wifi":{"Signal":-5}}'),
    (
        b'Rtasmota/discovery/AABBCC/config\x00{"t":"p","ft":"%prefix%/%topic%/","tp":["cmnd",'
        b'"stat","tele"],"rl":[1],"fn":["x"]}\x1e tele/p/SENSOR\x00{"A":{"Temperature":1},"Te'
        b'mpUnit":"F"}'
    ),
    (
        b'Rtasmota/discovery/AABBCC/config\x00{"t":"p","ft":"%topic%/%prefix%/","tp":["c","s"'
        b',"t"],"state":["aus","ein"],"onln":"da","ofln":"weg"}\x1e p/t/LWT\x00da\x1e p/s/RES'
        b'ULT\x00{"POWER":"ein"}'
    ),
    b' tele/s/SENSOR\x00{"ENERGY":{"Power":[1,2]},"Shutter1":{"Position":5}}',
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["tasmota"], data)
