# SPDX-License-Identifier: BSD-3-Clause
"""EDHOC (RFC 9528): two endpoints with key pairs agree on an OSCORE context."""
