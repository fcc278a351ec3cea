# SPDX-License-Identifier: BSD-3-Clause
"""DTLS 1.2 with pre-shared keys: a layer between a UDP endpoint and a protocol."""
