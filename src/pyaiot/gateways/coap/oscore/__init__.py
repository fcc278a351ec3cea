# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE at the CoAP gateway: one security context for each device that has a credential for it."""
