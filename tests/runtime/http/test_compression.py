"""Large answers come compressed to who takes gzip: the same content, an entity tag of its own, both ways in."""

import http.client
import threading
import zlib

import pytest
from fastapi import Response
from fastapi.responses import StreamingResponse

from runtime.http import compression
from runtime.http.principal import requires
from tests.runtime.http.applying import ANSWERED_WITHIN_S, ANYBODY, listening, pipelined, serve

LARGE = b'{"items":[' + b'{"sku":"85123A","quantity":1},' * 4_000 + b"1]}"
SIZES = {
    "/small": compression.COMPRESSED_BYTES_MIN - 1,
    "/edge": compression.COMPRESSED_BYTES_MIN,
    "/large": len(LARGE),
}
GZIP = {"Accept-Encoding": "br, gzip"}
LINE = b'{"position":1}\n'


def of(size):
    async def answer(exchange):
        known = dict(exchange.headers).get(b"if-none-match", b"")
        if compression.plain_tag(known) == b'"7"':
            return Response(status_code=304, headers={"etag": '"7"'})
        return Response(LARGE[:size], media_type="application/json", headers={"etag": '"7"'})

    return answer


@pytest.fixture(scope="module")
def released():
    return threading.Event()


@pytest.fixture(scope="module")
def port(released):
    app = pipelined()
    for path, size in SIZES.items():
        serve(app, path, of(size), method="GET")

    async def picture(_exchange):
        return Response(LARGE, media_type="image/png")

    async def encoded(_exchange):
        return Response(LARGE, media_type="text/plain", headers={"content-encoding": "br"})

    serve(app, "/picture", picture, method="GET")
    serve(app, "/encoded", encoded, method="GET")

    def lines():
        yield LINE
        assert released.wait(ANSWERED_WITHIN_S)
        yield LINE * 10_000

    @app.get("/lines", include_in_schema=False)
    @requires(ANYBODY)
    async def stream() -> Response:
        return StreamingResponse(lines(), media_type="application/x-ndjson")

    with listening(app) as server:
        yield server.config.port


def asked(port, path, headers=GZIP, *, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def unpacked(body):
    return zlib.decompress(body, 31)


@pytest.mark.parametrize("query", ["", "?x=1"], ids=["whole", "through ASGI"])
def test_a_large_answer_is_compressed_for_who_takes_it_and_has_a_tag_of_its_own(port, query):
    for path in ("/edge", "/large"):
        plain, body = asked(port, path + query, {})
        packed, less = asked(port, path + query)

        assert (LARGE[: SIZES[path]], None, '"7"') == (
            body,
            plain.headers["content-encoding"],
            plain.headers["etag"],
        )
        assert (body, "gzip", '"7-gzip"') == (
            unpacked(less),
            packed.headers["content-encoding"],
            packed.headers["etag"],
        )
        assert (str(len(body)), str(len(less))) == (
            plain.headers["content-length"],
            packed.headers["content-length"],
        )
        assert len(less) < len(body) / 2
        assert ["accept-encoding"] * 2 == [each.headers["vary"] for each in (plain, packed)]
        head, nothing = asked(port, path + query, method="HEAD")
        assert (packed.headers["content-length"], '"7-gzip"', b"") == (
            head.headers["content-length"],
            head.headers["etag"],
            nothing,
        )


@pytest.mark.parametrize("path", ["/small", "/picture", "/encoded"])
def test_what_is_small_or_no_text_or_encoded_stays_as_it_is(port, path):
    answer, body = asked(port, path)

    assert LARGE[: SIZES.get(path, len(LARGE))] == body
    assert "gzip" != answer.headers["content-encoding"]
    assert answer.headers["vary"] is None


@pytest.mark.parametrize("tag", ['"7"', '"7-gzip"'])
def test_what_a_caller_keeps_is_named_as_it_keeps_it(port, tag):
    answer, body = asked(port, "/large", {**GZIP, "If-None-Match": tag})

    assert (304, b"", tag, "accept-encoding") == (
        answer.status,
        body,
        answer.headers["etag"],
        answer.headers["vary"],
    )


def test_a_stream_is_readable_as_far_as_it_has_come(port, released):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
    connection.request("GET", "/lines", headers=GZIP)
    answer = connection.getresponse()
    reader = zlib.decompressobj(31)
    first = b""
    while first != LINE:
        first += reader.decompress(answer.read1())
    released.set()
    rest = reader.decompress(answer.read())

    assert LINE * 10_000 == rest
    assert reader.eof
    assert "gzip" == answer.headers["content-encoding"]
    connection.close()


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzip", True),
        ("GZip;q=0.001", True),
        ("*", True),
        ("deflate, x-gzip", True),
        ("*;q=0, gzip", True),
    ],
)
def test_gzip_is_taken_by_who_says_so(value, taken):
    headers = [] if value is None else [(b"host", b"x"), (b"accept-encoding", value.encode())]

    assert taken is compression.accepts_gzip(headers)
