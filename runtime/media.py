"""Media and static files: bytes in a folder, named by the SHA-256 of their content and an ending that says their type.

A name never means anything else, so what is there is never replaced, and caches keep it for as long as they like.
"""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from runtime import durable

BYTES_MAX: Final = 8 * 1024 * 1024

_SIGNATURES: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        "avif": ("image/avif", r".{4}ftypavi[fs]"),
        "css": ("text/css", None),
        "gif": ("image/gif", r"GIF8[79]a"),
        "jpeg": ("image/jpeg", r"\xff\xd8\xff"),
        "js": ("text/javascript", None),
        "mp4": ("video/mp4", r".{4}ftyp(?!avi[fs])"),
        "png": ("image/png", r"\x89PNG\r\n\x1a\n"),
        "webp": ("image/webp", r"RIFF.{4}WEBP"),
        "woff2": ("font/woff2", r"wOF2"),
    }
)
"""Ending → media type, and how its files begin; None: it is text. No SVG: what opens it runs the scripts in it."""

TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {ending: media_type for ending, (media_type, _) in _SIGNATURES.items()}
)
ANY_TYPE: Final = "application/octet-stream"
"""The type of any of them, for programs that know no other."""
NAME_PATTERN: Final = rf"^[0-9a-f]{{64}}\.(?:{'|'.join(TYPES)})$"
_is_name = re.compile(NAME_PATTERN, re.ASCII).fullmatch
_MODE: Final = 0o644


class NotWhatItsNameSays(Exception):
    """Content that has another digest than its name, or is of another type; the text says which."""


def name_of(content: bytes, ending: str) -> str:
    """The one name that content of this type can have."""
    return f"{hashlib.sha256(content).hexdigest()}.{ending}"


def is_name(text: str) -> bool:
    """Whether something may be stored under this name."""
    return _is_name(text) is not None


def type_of(name: str) -> str:
    """The media type of what has this name."""
    return TYPES[name.rpartition(".")[2]]


class Media:
    """The folder: each API process on each machine sees the same one."""

    def __init__(self, root: Path) -> None:
        """The folder need not exist before the first write."""
        self._root = root

    def path(self, name: str) -> Path:
        """The file of what has this name, whether or not it is there."""
        assert is_name(name), name
        return self._root / name[:2] / name

    def found(self, name: str) -> os.stat_result | None:
        """Size and times of a file; None: there is none.

        Raises:
            OSError: the folder cannot be read.
        """
        try:
            result = self.path(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return result if stat.S_ISREG(result.st_mode) else None

    def put(self, name: str, content: bytes) -> bool:
        """Store content, durably when this returns; whether it is new.

        Raises:
            NotWhatItsNameSays: it does not belong under this name; nothing is stored.
            OSError: the disk is full, or does not take it.
        """
        _require(name, content)
        if self.found(name) is not None:
            return False
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        durable.replace(path, content, temporary=temporary, mode=_MODE)
        return True


def _require(name: str, content: bytes) -> None:
    digest, _, ending = name.rpartition(".")
    media_type, begins = _SIGNATURES[ending]
    if hashlib.sha256(content).hexdigest() != digest:
        raise NotWhatItsNameSays("the content has another SHA-256 than its name")
    if begins is None:
        try:
            content.decode()
        except UnicodeDecodeError:
            raise NotWhatItsNameSays(f"{media_type} is text in UTF-8") from None
    elif re.match(begins.encode("latin-1"), content, re.DOTALL) is None:
        raise NotWhatItsNameSays(f"the content does not begin as {media_type} does")
