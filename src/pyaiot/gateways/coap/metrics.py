# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the CoAP gateway."""

from typing import Final

from pyaiot.metrics import Metric

DATAGRAMS_HELD_BACK: Final = Metric(
    "pyaiot_coap_datagrams_held_back",
    "counter",
    "Datagrams that were not sent because of the anti-amplification limit of an unverified peer.",
)
OSCORE_REFUSED: Final = Metric(
    "pyaiot_coap_oscore_refused",
    "counter",
    "Messages with OSCORE that were not accepted: of unknown devices, replayed, or not authentic.",
)
REQUESTS_OVER_RATE: Final = Metric(
    "pyaiot_coap_requests_over_rate", "counter", "Requests above the rate limit of their host."
)
