# SPDX-License-Identifier: BSD-3-Clause
"""QR codes for a terminal. A separate module, so that it is loaded only when one is printed."""

import io

import segno


def qr_rows(text: str) -> list[str]:
    """Rows of `1` for dark and `0` for light modules, with a quiet zone around them."""
    code = segno.make(text, error="l", micro=False)
    return ["".join(str(int(bool(module))) for module in row) for row in code.matrix_iter(border=4)]


def qr_code(text: str) -> str:
    """Lines with a QR code in block characters, with a quiet zone around it."""
    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")
