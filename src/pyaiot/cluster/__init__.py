# SPDX-License-Identifier: BSD-3-Clause
"""Connects several brokers to a cluster: each owns the nodes of its gateways and knows those of
the others.
"""
