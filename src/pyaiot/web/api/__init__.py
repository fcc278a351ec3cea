# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP API below `/api`: typed answers and questions, from which its documents are made."""
