# SPDX-License-Identifier: BSD-3-Clause
"""Names of resources as text for people. `dashboard/src/model/text.ts` has the same rules."""

import re
from typing import Final

_PLAIN: Final = re.compile(r"[a-z][a-z0-9]*([_-]?[A-Za-z0-9]+)*")
_CAMEL: Final = re.compile(r"([a-z0-9])([A-Z])(?=[a-z])")
_CHIP: Final = re.compile(r"[a-z]{2,3}\d{2,5}[a-z]?\d*[a-z]?|[a-z]{4}\d{3,4}[a-z]?")
"""`bme280`, `ds18b20`, `veml7700`."""
_NUMBERED: Final = re.compile(r"([a-z]{3,})(\d{1,2})")
_ACRONYMS: Final = (
    "AC ADC API BLE CO CPU DC GPIO GPS ID IMU IP IR LED LQI MAC MQTT"
    " PIR PM PWM RAM RGB RSSI SNR SSID TVOC UID URL USB UV VOC"
)
_SPELLED: Final = {
    **{word.lower(): word for word in _ACRONYMS.split()},
    "co2": "CO₂",
    "eco2": "CO₂ equivalent",
    "no2": "NO₂",
    "pm1": "PM1",
    "pm25": "PM2.5",
    "wifi": "Wi-Fi",
}


def title_of(name: str) -> str:
    """`Soil moisture` for `soil_moisture` and `soilMoisture`, `BME280 temperature` for
    `bme280_temperature`, `Temperature` for `temperature_0`. Other names are returned unchanged.
    """
    if not _PLAIN.fullmatch(name):
        return name
    split = _CAMEL.sub(lambda found: f"{found[1]}_{found[2].lower()}", name)
    words = re.split("[_-]+", split.replace("pm2_5", "pm25"))
    if len(words) > 1 and words[-1] == "0":
        words.pop()  # the first of its kind, and usually the only one
    text = " ".join(map(_spelled, words))
    return text[0].upper() + text[1:]


def _spelled(word: str) -> str:
    if word in _SPELLED:
        return _SPELLED[word]
    if _CHIP.fullmatch(word):
        return word.upper()
    numbered = _NUMBERED.fullmatch(word)
    return f"{_SPELLED.get(numbered[1], numbered[1])} {numbered[2]}" if numbered else word
