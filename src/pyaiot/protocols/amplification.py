# SPDX-License-Identifier: BSD-3-Clause
"""The anti-amplification limit of every protocol over UDP. Pure."""

from typing import Final

AMPLIFICATION_MAX: Final = 3
"""An unverified peer gets at most this many times the bytes that it sent (RFC 9000 section 8.1, RFC
9175 section 2.4). Datagrams beyond that are not sent."""
