"""Words of what people type, the same for what is searched and for what is asked: lower case, without accents."""

import re
import unicodedata
from typing import Final

_words: Final = re.compile(r"[^\W_]+").findall


def words_of(text: str) -> list[str]:
    """The words of a text; whatever stands between them is none."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return _words(plain.casefold())
