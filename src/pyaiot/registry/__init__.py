# SPDX-License-Identifier: BSD-3-Clause
"""The registry: every node that was ever seen, with the annotations that people made."""
