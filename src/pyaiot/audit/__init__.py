# SPDX-License-Identifier: BSD-3-Clause
"""The audit log: who did what to which node, when, from where, with what result."""
