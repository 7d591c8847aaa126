"""Requests that are refused or answered without the parser: it would read them the same way, to the same end."""

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.http import plain_request

HEAD = b"POST /v1/orders?x=1 HTTP/1.1\r\nHost: shop\r\nIdempotency-Key:  k 1 \r\nContent-Length: 2\r\n\r\n"
WHOLE = HEAD + b"{}"

ASKED = b"GET /v1/orders/1 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer t\r\n\r\n"


class Parsed:
    """What the parser finds in some bytes."""

    def __init__(self, data):
        self.url, self.headers, self.body, self.messages, self.begun = b"", [], b"", 0, 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.goes_on = parser.should_keep_alive() and not parser.should_upgrade()
        self.method, self.version = parser.get_method(), parser.get_http_version()

    def on_message_begin(self):
        self.begun += 1

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.messages += 1


PIECES = (
    b"POST ",
    b"GET ",
    b"/v1/orders",
    b"?x=1",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\x85",
    b"Host: shop",
    b"Content-Length: 2",
    b"content-length:2",
    b"Content-Length: +2",
    b"Content-Length: 02",
    b"Content-Length: 2, 2",
    b"Content-Length : 2",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"X: y",
    b"X:",
    b": y",
    b" folded",
    b"\t",
    b"{}",
    b"0",
    b"Correlation-Id: c",
)


@st.composite
def nearly_plain(draw, made=WHOLE):
    """A plain request with some pieces put in, taken out or put in place of others."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(made)))
        end = draw(st.one_of(st.just(start), st.integers(start, min(len(made), start + 20))))
        made = made[:start] + draw(st.sampled_from((b"", *PIECES))) + made[end:]
    return made


def test_a_plain_request_has_its_headers_and_its_path():
    assert "/v1/orders" == plain_request.path_of(WHOLE)
    assert [
        (b"host", b"shop"),
        (b"idempotency-key", b"k 1 "),
        (b"content-length", b"2"),
    ] == plain_request.headers_of(WHOLE)


@given(nearly_plain())
@example(WHOLE)
@example(HEAD.replace(b"Length: 2", b"Length: 0"))
@example(WHOLE.replace(b"2\r\n\r\n", b"2\r\nContent-Length: 2\r\n\r\n"))
def test_what_is_taken_for_plain_the_parser_reads_the_same_way(data):
    headers = plain_request.headers_of(data)
    if headers is None:
        return
    parsed = Parsed(data)

    assert (1, 1, b"POST", "1.1", True) == (
        parsed.begun,
        parsed.messages,
        parsed.method,
        parsed.version,
        parsed.goes_on,
    )
    assert parsed.headers == headers
    assert parsed.url.partition(b"?")[0].decode("latin-1") == plain_request.path_of(data)
    assert data.endswith(b"\r\n\r\n" + parsed.body)


@pytest.mark.parametrize(
    ("instead_of", "given"),
    [
        (b"POST", b"GET"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Host: shop", b"Host: shop\r\nConnection: close"),
        (b"Host: shop", b"Host: shop\r\nExpect: 100-continue"),
        (b"Host: shop", b"Host: shop\r\nTransfer-Encoding: chunked"),
        (b"Host: shop", b"Host: shop\r\nUpgrade: h2c"),
        (b"Host: shop", b"Host: sh\xffop"),
        (b"Host: shop", b"Host: shop\r\n folded"),
        (b"Host: shop", b"Host: " + b"x" * 5_000),
        (b"Host: shop", b"X: y\r\n" * 60 + b"Host: shop"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        (b"Content-Length: 2\r\n", b""),
        (b"Content-Length: 2", b"Content-Length: 3"),
        (b"Content-Length: 2", b"Content-Length: 1"),
        (b"Content-Length: 2", b"Content-Length : 2"),
        (b"{}", b""),
    ],
)
def test_what_is_not_plain_is_the_parsers(instead_of, given):
    assert plain_request.headers_of(WHOLE.replace(instead_of, given)) is None


@given(nearly_plain(ASKED), nearly_plain(b"GET /v1/orders/2 HTTP/1.1\r\n"))
@example(ASKED, b"GET /v1/orders/order%202 HTTP/1.1\r\n")
def test_headers_that_were_read_before_the_parser_reads_the_same_way(first, line):
    rest = plain_request.rest_of(first)
    path = None if rest is None else plain_request.path_before(rest, line + rest)
    try:
        read = Parsed(first)
    except httptools.HttpParserError:
        return
    if path is None or rest is None or (read.begun, read.messages) != (1, 1):
        return
    parsed = Parsed(line + rest)

    assert (path, b"GET", "1.1") == (parsed.url, parsed.method, parsed.version)
    assert (read.headers, read.body, read.goes_on) == (parsed.headers, parsed.body, parsed.goes_on)
    assert (1, 1) == (parsed.begun, parsed.messages)


def test_a_read_that_differs_in_its_path_needs_no_parser():
    rest = plain_request.rest_of(ASKED)
    assert rest is not None

    assert b"/v1/products/a%20b" == plain_request.path_before(
        rest, ASKED.replace(b"/v1/orders/1", b"/v1/products/a%20b")
    )


@pytest.mark.parametrize(
    ("instead_of", "given"),
    [
        (b"GET", b"POST"),
        (b"GET", b"\r\nGET"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/v1/orders/1", b"/v1/orders/1?x=1"),
        (b"/v1/orders/1", b"/v1/orders/\xff"),
        (b"/v1/orders/1", b"http://shop/v1/orders/1"),
        (b"/v1/orders/1", b"/v1/orders/" + b"1" * 5_000),
        (b"Bearer t", b"Bearer u"),
        (b"Host", b"X: y\r\nHost"),
        (b"\r\n\r\n", b"\r\n\r\n" + ASKED),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_what_differs_in_more_than_its_path_is_the_parsers(instead_of, given):
    rest = plain_request.rest_of(ASKED)
    assert rest is not None

    assert plain_request.path_before(rest, ASKED.replace(instead_of, given, 1)) is None
