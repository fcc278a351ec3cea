# SPDX-License-Identifier: BSD-3-Clause
"""Words for true and false that devices and people use."""

from typing import Final

PAIRS: Final = (("1", "0"), ("on", "off"), ("true", "false"), ("yes", "no"))
"""Words for true and false, in any case."""
DEFAULT_WORDS: Final = PAIRS[0]
"""Used for a device whose words are unknown."""

_TRUTH_BY_WORD: Final = {
    word: truth for pair in PAIRS for word, truth in zip(pair, (True, False), strict=True)
}


def truth_of(word: str, on: str = "", off: str = "") -> bool | None:
    """Whether a word means true or false; None if neither. `on` and `off`, the words of the
    device, take precedence: a device may call its open state `0`.
    """
    if word in (on, off) and word:
        return word == on
    word = word.strip().casefold()
    if word and word == on.strip().casefold():
        return True
    if word and word == off.strip().casefold():
        return False
    return _TRUTH_BY_WORD.get(word)


def words_like(value: object) -> tuple[str, str] | None:
    """The words for true and false of a device that sent this value; None if it is not a boolean.
    A device that sends `"OFF"` uses `ON` and `OFF`; one that sends JSON `true` expects `true`.
    """
    match value:
        case bool():
            return "true", "false"
        case int() | float():
            return DEFAULT_WORDS if value in (0, 1) else None
        case str():
            pass
        case _:
            return None
    word = value.strip()
    for pair in PAIRS:
        if word.lower() in pair:
            if word.isupper():
                return pair[0].upper(), pair[1].upper()
            if word.istitle():
                return pair[0].title(), pair[1].title()
            return pair if word.islower() or word.isdigit() else None
    return None
