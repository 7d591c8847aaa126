"""The project's pages as text: links, anchors, code blocks, and what they name in backticks."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

_BLOCK: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"`([^`\n]+)`")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Its path below the root."""
        return str(self.path.relative_to(ROOT))

    @cached_property
    def prose(self) -> str:
        """The text without its code blocks."""
        return _BLOCK.sub("", self.text)

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """Code blocks: language and text."""
        return _BLOCK.findall(self.text)

    @cached_property
    def links(self) -> list[str]:
        """Targets of all links."""
        return _LINK.findall(self.prose)

    @cached_property
    def code(self) -> list[str]:
        """What stands in backticks."""
        return _CODE.findall(self.prose)

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`, as GitHub makes it from headings."""
        return {anchor(heading) for heading in _HEADING.findall(self.prose)}

    def commands(self) -> list[str]:
        """Every `counterfoil …` that the page shows, in backticks or in a code block."""
        lines = [line.strip() for language, text in self.blocks for line in text.splitlines()]
        shown = [*self.code, *lines]
        return [text for text in shown if re.match(r"counterfoil [a-z]", text)]


def anchor(heading: str) -> str:
    """The anchor of a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return words.strip().replace(" ", "-")


def pages() -> list[Page]:
    """Every page of the project."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Page(path, path.read_text()) for path in sorted(paths)]
