"""The gateway's own answers, which have the form of the APIs' problems, and the headers that it adds to others."""

import re
from collections.abc import Iterable
from typing import Any, Final

from counterfoil.api_gateway.layout import Layout
from runtime.http import headers
from runtime.http.cors import EXPOSED, VARIES
from runtime.problem_types import CATALOGUE
from runtime.problems import MEDIA_TYPE

Node = dict[str, Any]

_LOCAL_ANSWERS: Final = {
    400: "request-unreadable",
    401: "unauthenticated",
    404: "not-found",
    408: "head-too-slow",
    429: "too-many-requests",
    431: "head-too-large",
    503: "outcome-unknown",
    504: "outcome-unknown",
}
"""Answers of the gateway itself, by status, as the problem that they are."""
_UNANSWERED: Final = "No process of the API answered in time."


def header(name: str, value: str, *, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Node:
    """A header that is added."""
    return {"header": {"key": name, "value": value}, "append_action": action}


def secure() -> Node:
    """The header that keeps callers to TLS."""
    name, value = headers.OVER_TLS
    return header(name.decode(), value.decode())


_OF_STATUS: Final = {
    401: [header("www-authenticate", 'Bearer realm="counterfoil"')],
    429: [header("retry-after", "1")],
    503: [header("retry-after", "1")],
    504: [header("retry-after", "1")],
}
"""Headers of the gateway's own answers, by status."""


def local_answers(layout: Layout) -> Node:
    """The mapping of what the gateway answers by itself to problems, with the headers that the APIs send."""
    always = _headers_of(*headers.STANDARD, headers.NEVER_STORED)
    always.append(header("correlation-id", "%REQ(correlation-id?x-request-id)%"))
    if layout.certificate is not None:
        always.append(secure())
    if not layout.origins:
        return {"mappers": [_local_answer(status, always) for status in _LOCAL_ANSWERS]}
    always += _headers_of(VARIES)
    # The first mapper that fits a request is taken.
    of_pages = _named(layout.origins)
    to_pages = [*always, header("access-control-allow-origin", "%REQ(origin)%"), *_headers_of(EXPOSED)]
    return {
        "mappers": [
            *(_local_answer(status, to_pages, of_pages) for status in _LOCAL_ANSWERS),
            *(_local_answer(status, always) for status in _LOCAL_ANSWERS),
        ]
    }


def _local_answer(status: int, headers_to_add: list[Node], *filters: Node) -> Node:
    """What is answered with a status, where the filters let a request pass."""
    problem = CATALOGUE[_LOCAL_ANSWERS[status]]
    has_status: Node = {
        "status_code_filter": {
            "comparison": {
                "op": "EQ",
                "value": {"default_value": status, "runtime_key": f"local_answer.{status}"},
            }
        }
    }
    return {
        "filter": {"and_filter": {"filters": [has_status, *filters]}} if filters else has_status,
        "status_code": problem.status,
        "headers_to_add": [*headers_to_add, *_OF_STATUS.get(status, ())],
        "body_format_override": {
            "content_type": MEDIA_TYPE,
            "json_format": {
                "type": problem.uri,
                "title": problem.title,
                "status": problem.status,
                "code": problem.slug,
                "detail": _UNANSWERED if problem.slug == "outcome-unknown" else problem.meaning,
                "correlation_id": "%REQ(correlation-id?x-request-id)%",
            },
        },
    }


def _named(origins: Iterable[str]) -> Node:
    """Requests of pages of these origins."""
    exactly = "|".join(map(re.escape, origins))
    return {
        "header_filter": {"header": {"name": "origin", "string_match": {"safe_regex": {"regex": exactly}}}}
    }


def _headers_of(*given: headers.Header) -> list[Node]:
    return [header(name.decode(), value.decode()) for name, value in given]
