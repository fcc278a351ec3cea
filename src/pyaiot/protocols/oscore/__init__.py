# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE (RFC 8613): CoAP messages that are encrypted and authenticated one by one. Pure."""
