# SPDX-License-Identifier: BSD-3-Clause
"""Generates pages of docs/reference from the code: messages, settings, limits and more."""
