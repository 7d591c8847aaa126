"""Interactive pages of an API at /docs: its OpenAPI document in Swagger UI, whose files an installed package has.

Nothing is loaded from another host, and the policy of the page forbids it. The address of a file holds its digest, so a
browser keeps it for good.
"""

import functools
import hashlib
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Response
from msgspec import Struct

from runtime.http.principal import Public, requires

PATH: Final = "/docs"
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy: files and calls of this API alone."""

_PACKAGE: Final = "fastapi_offline"
_START: Final = b"""
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_PAGE: Final = Public("the description of the API")
_KEPT: Final = {"cache-control": "public, max-age=31536000, immutable"}


class _File(Struct, frozen=True):
    path: str
    content: bytes
    media_type: str


def install(app: FastAPI) -> None:
    """Serve the page and its files."""
    style, bundle, start = _files()
    page = _page(app.title, style=style, scripts=(bundle, start))

    @requires(_PAGE)
    async def show() -> Response:
        headers = {"content-security-policy": PAGE_POLICY, "cache-control": "no-cache"}
        return Response(page, media_type="text/html", headers=headers)

    app.add_api_route(PATH, show, methods=["GET"], include_in_schema=False)
    for file in (style, bundle, start):
        _serve(app, file)


def _serve(app: FastAPI, file: _File) -> None:
    @requires(_PAGE)
    async def send() -> Response:
        return Response(file.content, media_type=file.media_type, headers=_KEPT)

    app.add_api_route(file.path, send, methods=["GET"], include_in_schema=False)


@functools.cache
def _files() -> tuple[_File, _File, _File]:
    """The style sheet, the bundle and the script that starts it."""
    folder = _folder()
    return (
        _file("swagger-ui.css", (folder / "swagger-ui.css").read_bytes(), "text/css"),
        _file("swagger-ui-bundle.js", (folder / "swagger-ui-bundle.js").read_bytes(), "text/javascript"),
        _file("start.js", _START, "text/javascript"),
    )


def _file(name: str, content: bytes, media_type: str) -> _File:
    stem, _, ending = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:16]
    return _File(f"{PATH}/{stem}.{digest}.{ending}", content, media_type)


def _folder() -> Path:
    found = find_spec(_PACKAGE)
    assert found is not None, "the package is a dependency"
    assert found.origin is not None, "it has files"
    return Path(found.origin).parent / "static"


def _page(title: str, *, style: _File, scripts: tuple[_File, ...]) -> str:
    # Relative addresses: a proxy may serve the API below a path of its own.
    loaded = "".join(f'<script src="{script.path[1:]}"></script>' for script in scripts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{style.path[1:]}">'
        f'</head><body><div id="swagger-ui"></div>{loaded}</body></html>'
    )
