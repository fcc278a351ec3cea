# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP API below `/api`: typed parameters and responses, which also make its documents."""
