# SPDX-License-Identifier: BSD-3-Clause
"""Builds what is published: distributions, wheelhouses and Debian packages. See scripts/release."""
