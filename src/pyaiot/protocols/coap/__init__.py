# SPDX-License-Identifier: BSD-3-Clause
"""CoAP (RFC 7252 and extensions), pure: messages, exchanges, blocks, posts of nodes."""
