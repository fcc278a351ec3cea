# SPDX-License-Identifier: BSD-3-Clause
"""Several brokers as one: each owns the nodes of its gateways and knows those of the others."""
