"""The published contracts: both OpenAPI documents without words for people, one file each, frozen at a release.

`python -m tests.openapi.frozen` writes them anew when something was added. What would break a client is refused: it
needs a new version of the paths. Until 1.0 `--breaking` writes it all the same, for a minor release that says so.
"""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from counterfoil.applications import command_app, query_app
from runtime.http import api_version
from runtime.settings import Settings
from tests.openapi.comparing import Change, Node, compare

DIRECTORY: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi"
COMMAND: Final = "python -m tests.openapi.frozen"
APIS: Final = {"commands": command_app, "queries": query_app}

_PROSE: Final = {"description", "summary", "example", "title"}
_BY_NAME: Final = {"properties", "headers", "schemas", "paths", "content", "responses", "mapping"}
"""Members whose own members have names of the API's choosing: `title` may be one."""


def current(api: str) -> Node:
    """The document of an API as it is served now."""
    settings = Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    document: Node = json.loads(json.dumps(APIS[api](settings).openapi()))
    return document


def path_of(api: str) -> Path:
    """The file of an API's contract."""
    return DIRECTORY / f"{api}.{api_version.PREFIX.strip('/')}.json"


def frozen(api: str) -> Node:
    """The contract that was published last."""
    contract: Node = json.loads(path_of(api).read_text())
    return contract


def text_of(document: Node) -> str:
    """A contract as it is kept: sorted, so that it shows in a diff what changed."""
    contract = _without_prose(document, by_name=False)
    contract["info"] = {name: document["info"][name] for name in ("title", "version")}
    return json.dumps(contract, indent=1, sort_keys=True) + "\n"


def changes(api: str) -> list[Change]:
    """What has changed since the contract was published."""
    return compare(frozen(api), current(api), today=dt.datetime.now(dt.UTC).date())


def _without_prose(node: Any, *, by_name: bool) -> Any:
    if isinstance(node, list):
        return [_without_prose(each, by_name=False) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for name, member in node.items():
        if not by_name and name == "examples":
            if isinstance(member, dict) and all("-" in code or code.isalpha() for code in member):
                kept[name] = {code: {} for code in member}
        elif not by_name and name == "responses":
            answers = {status: _without_prose(each, by_name=False) for status, each in member.items()}
            kept[name] = {status: {"description": "", **each} for status, each in answers.items()}
        elif by_name or name not in _PROSE:
            kept[name] = _without_prose(member, by_name=not by_name and name in _BY_NAME)
    return kept


def main(arguments: list[str]) -> int:
    """Write both files; 1 if one of them would break clients."""
    for api in APIS:
        path = path_of(api)
        breaking = [str(each) for each in changes(api) if each.breaking] if path.exists() else []
        if breaking and "--breaking" not in arguments:
            print(f"{path.name}: not written, clients would break:", *breaking, sep="\n  ")
            return 1
        path.parent.mkdir(exist_ok=True)
        path.write_text(text_of(current(api)))
        print(f"{path.name}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
