# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE (RFC 8613): encrypts and authenticates each CoAP message separately. Pure."""
