# SPDX-License-Identifier: BSD-3-Clause
"""The part of DTLS 1.2 (RFC 6347) that is handled before a session exists. Pure."""
