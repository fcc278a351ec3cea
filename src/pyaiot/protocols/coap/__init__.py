# SPDX-License-Identifier: BSD-3-Clause
"""CoAP (RFC 7252 and its extensions), pure: messages, blocks, posts of nodes."""
