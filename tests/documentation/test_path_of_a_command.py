"""The path of a command is as short as its page says, and goes through the files that the page lists, in that order."""

import re
import sys
from types import FrameType
from typing import Any, Final

import pytest

from tests.commands.conftest import opened
from tests.commands.test_ordering import CATALOGUE, SALE
from tests.documentation.pages import ROOT

pytestmark = pytest.mark.anyio

FILES_MAX: Final = 8
PAGE: Final = (ROOT / "docs" / "path-of-a-command.md").read_text()
_ROW: Final = re.compile(r"^\| `([\w/.]+)` \| `([\w.]+)` \|", re.MULTILINE)


def listed() -> list[tuple[str, str]]:
    """The files of the page's first table, each with the function to begin at."""
    section = PAGE.partition("\n## Eight files\n")[2].partition("\n## ")[0]
    return _ROW.findall(section)


async def test_a_command_calls_the_functions_that_the_page_lists_in_their_order(database_url: str):
    *python, (sql, _) = listed()
    called: dict[tuple[str, str], None] = {}

    def see(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT)):
            called.setdefault((frame.f_code.co_filename.removeprefix(f"{ROOT}/"), frame.f_code.co_name))

    async with opened(database_url) as shop:
        await shop.given(*CATALOGUE)
        sys.setprofile(see)
        try:
            answer = await shop.client.post("/v1/orders", json=SALE, headers={"Idempotency-Key": "followed"})
        finally:
            sys.setprofile(None)

    assert 201 == answer.status_code, answer.text
    assert python == [function for function in called if function in python]
    assert (ROOT / sql).exists()


def test_the_path_of_a_command_is_eight_files_at_most():
    assert len(listed()) <= FILES_MAX
