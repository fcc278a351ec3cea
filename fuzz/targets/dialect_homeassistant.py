# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `homeassistant`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (
        b'Rhomeassistant/sensor/x/config\x00{"stat_t":"d/s","dev":{"ids":"d"},"unit_of_meas":'
        b'"%","val_tpl":"{{ (value_json.a[0] | float / 2) | round(1) }}"}\x1e d/s\x00{"a":[5]'
        b"}"
    ),
    (
        b'Rhomeassistant/device/x/config\x00{"dev":{"ids":"d"},"cmps":{"a":{"p":"light","sche'
        b'ma":"json","cmd_t":"d/c","stat_t":"d/s","brightness":true,"sup_clrm":["rgb"]}}}\x1e'
        b' d/s\x00{"state":"ON","color":{"r":1,"g":2,"b":3}}'
    ),
    (
        b'Rhomeassistant/climate/x/config\x00{"mode_cmd_t":"d/m","modes":["a"],"temp_cmd_t":"'
        b'd/t","curr_temp_t":"d/s","act_t":"d/a","act_tpl":"{% x %}","dev":{"ids":"d"}}\x1e d'
        b"/s\x005"
    ),
    (
        b'Rhomeassistant/device/y/config\x00{"dev":{"ids":"e"},"cmps":{"l":{"p":"lock","cmd_t'
        b'":"e/l","stat_t":"e/s"},"f":{"p":"fan","cmd_t":"e/f","pct_cmd_t":"e/p","osc_cmd_t":'
        b'"e/o"},"v":{"p":"valve","cmd_t":"e/v","stat_t":"e/s","pos":true},"u":{"p":"update",'
        b'"stat_t":"e/s"},"t":{"p":"device_tracker","json_attr_t":"e/s"},"q":{"p":"event","st'
        b'at_t":"e/s","evt_typ":["a"]}}}\x1e e/s\x00{"latitude":5,"longitude":6,"event_type":'
        b'"a","position":5}'
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["homeassistant"], data)
