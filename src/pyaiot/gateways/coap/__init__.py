# SPDX-License-Identifier: BSD-3-Clause
"""The gateway of CoAP nodes (legacy protocol, section 3)."""
