# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the CoAP gateway."""

from typing import Final

from pyaiot.metrics import Metric

HELD_BACK: Final = Metric(
    "pyaiot_coap_datagrams_held_back",
    "counter",
    "Answers that were not sent, because the address had not proved itself.",
)
STRANGERS_REFUSED: Final = Metric(
    "pyaiot_coap_requests_over_rate", "counter", "Requests over the rate of their host."
)
