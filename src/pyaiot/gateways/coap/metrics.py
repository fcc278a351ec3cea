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
    "OSCORE messages that were not accepted: from unknown devices, replayed, or not authentic.",
)
EDHOC_HANDSHAKES: Final = Metric(
    "pyaiot_coap_edhoc_handshakes",
    "counter",
    "Handshakes of EDHOC after which a device had a new OSCORE context.",
)
EDHOC_REFUSED: Final = Metric(
    "pyaiot_coap_edhoc_refused",
    "counter",
    "EDHOC messages that were refused: malformed, of an unknown device, or above a rate limit.",
)
REQUESTS_OVER_RATE: Final = Metric(
    "pyaiot_coap_requests_over_rate", "counter", "Requests above the rate limit of their host."
)
DTLS_SESSIONS: Final = Metric(
    "pyaiot_coap_dtls_sessions", "gauge", "Sessions of devices with a key that are open."
)
DTLS_SESSIONS_OPENED: Final = Metric(
    "pyaiot_coap_dtls_sessions_opened", "counter", "Sessions of DTLS that were opened."
)
DTLS_HANDSHAKES_FAILED: Final = Metric(
    "pyaiot_coap_dtls_handshakes_failed",
    "counter",
    "Handshakes of DTLS that failed: a wrong key, an unknown device, or lost datagrams.",
)
DTLS_HANDSHAKES_REFUSED: Final = Metric(
    "pyaiot_coap_dtls_handshakes_refused",
    "counter",
    "Handshakes of DTLS above the rate limit of their host, or of all hosts.",
)
DTLS_DATAGRAMS_IGNORED: Final = Metric(
    "pyaiot_coap_dtls_datagrams_ignored",
    "counter",
    "Datagrams to the port of DTLS that belong to no session and begin none.",
)
