"""Pages for people: what each problem means and what to do about it, so that every type URI resolves."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from fastapi import FastAPI, Response

from runtime.http.principal import Public, requires
from runtime.problem_types import CATALOGUE, ProblemType
from runtime.problems import ProblemError

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{max-width:42rem;margin:3rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif}"
    "code{background:#8882;padding:.1em .3em;border-radius:.2em}h1{line-height:1.2}dt{font-weight:600}"
)
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; img-src data:; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy of the pages: their one style sheet, their empty icon and nothing else."""

_PAGE: Final = Public("the meaning of problems")
_HEADERS: Final = {"content-security-policy": PAGE_POLICY, "cache-control": "public, max-age=3600"}


def install(app: FastAPI, declared: Iterable[ProblemType] = ()) -> None:
    """Serve an index at /problems and a page per type at /problems/{slug}, also for those declared elsewhere."""
    known = {**CATALOGUE, **{problem.slug: problem for problem in declared}}

    @requires(_PAGE)
    async def index() -> Response:
        return _index(known)

    @requires(_PAGE)
    async def page(slug: str) -> Response:
        return _page(slug, known)

    app.add_api_route("/problems", index, methods=["GET"], include_in_schema=False)
    app.add_api_route("/problems/{slug}", page, methods=["GET"], include_in_schema=False)


def _index(known: Mapping[str, ProblemType]) -> Response:
    entries = "".join(
        f'<dt><a href="/problems/{escape(p.slug)}">{escape(p.title)}</a></dt>'
        f"<dd><code>{p.status}</code> <code>{escape(p.slug)}</code></dd>"
        for p in sorted(known.values(), key=lambda p: (p.status, p.slug))
    )
    return _html("Problems", f"<h1>Problems</h1><dl>{entries}</dl>")


def _page(slug: str, known: Mapping[str, ProblemType]) -> Response:
    problem = known.get(slug)
    if problem is None:
        raise ProblemError("not-found", "The problem does not exist.")
    return _html(problem.title, _description(problem))


def _description(problem: ProblemType) -> str:
    return (
        f"<h1>{escape(problem.title)}</h1>"
        f"<p>Status <code>{problem.status}</code>, code <code>{escape(problem.slug)}</code></p>"
        f"<h2>What it means</h2><p>{_text(problem.meaning)}</p>"
        f"<h2>What to do</h2><p>{_text(problem.remedy)}</p>"
        '<p><a href="/problems">All problems</a></p>'
    )


def _text(prose: str) -> str:
    parts = escape(prose).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _html(title: str, content: str) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><main>{content}</main></body></html>"
    )
    return Response(page, media_type="text/html", headers=_HEADERS)
