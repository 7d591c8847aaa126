"""Text of others on a terminal: what it would act on is shown as an escape."""

from typing import Final

_ESCAPES: Final = {code: f"\\u{code:04x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x0A}


def shown(text: str) -> str:
    r"""The text with every control character but the line break as `\uXXXX`, which is also how JSON writes it."""
    return text.translate(_ESCAPES)
