# SPDX-License-Identifier: BSD-3-Clause
"""The registry: every node that was ever seen, and what people added to it."""
