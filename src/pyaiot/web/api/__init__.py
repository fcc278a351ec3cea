# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP API below `/api`: typed parameters and responses, from which its documents are
generated."""
