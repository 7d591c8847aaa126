"""Pictures and static files: stored once under the hash of their content, and read whole, in part, and from caches."""

import hashlib

import httpx
import pytest

from commands import uploads
from read_api import media_route
from runtime.media import BYTES_MAX, Media, name_of
from tests.runtime.http.applying import ANSWERED_WITHIN_S, listening, pipelined

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1_000
NAME = name_of(PICTURE, "png")
PNG = {"content-type": "image/png"}
CSS = {"content-type": "text/css; charset=utf-8"}
SIZE = len(PICTURE)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Both APIs' routes in one application, on one folder."""
    app = pipelined()
    app.router.routes.extend([*uploads.router.routes, *media_route.router.routes])
    app.state.media = Media(tmp_path_factory.mktemp("media"))
    with (
        listening(app) as server,
        httpx.Client(
            base_url=f"http://127.0.0.1:{server.config.port}/v1/media/",
            timeout=ANSWERED_WITHIN_S,
            trust_env=False,
        ) as client,
    ):
        assert 201 == client.put(NAME, content=PICTURE, headers=PNG).status_code
        yield client


def test_what_is_stored_is_read_byte_by_byte_and_kept_by_every_cache(client):
    answer = client.get(NAME)

    assert (200, PICTURE) == (answer.status_code, answer.content)
    assert {
        "content-type": "image/png",
        "content-length": str(SIZE),
        "accept-ranges": "bytes",
        "cache-control": "public, max-age=31536000, immutable",
        "etag": f'"{hashlib.sha256(PICTURE).hexdigest()}"',
        "surrogate-key": f"media-{NAME}",
        "x-content-type-options": "nosniff",
    }.items() <= dict(answer.headers).items()


def test_the_same_content_is_stored_once_and_says_so(client):
    name = name_of(b"p {}", "css")
    answers = [client.put(name, content=b"p {}", headers=CSS) for _ in range(2)]
    stored = {"name": name, "address": f"/v1/media/{name}", "media_type": "text/css", "bytes": 4}

    assert [(201, stored), (200, stored)] == [(answer.status_code, answer.json()) for answer in answers]
    assert b"p {}" == client.get(name).content


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-1999", 1000, 1999),
        (f"bytes={SIZE - 2}-", SIZE - 2, SIZE - 1),
        ("bytes=-3", SIZE - 3, SIZE - 1),
        (f"bytes=10-{SIZE + 5}", 10, SIZE - 1),
        (f"bytes=-{SIZE + 5}", 0, SIZE - 1),
    ],
)
def test_a_range_is_answered_with_those_bytes_alone(client, asked, first, last):
    answer = client.get(NAME, headers={"range": asked})

    assert (206, PICTURE[first : last + 1]) == (answer.status_code, answer.content)
    assert f"bytes {first}-{last}/{SIZE}" == answer.headers["content-range"]
    assert str(last - first + 1) == answer.headers["content-length"]
    assert "correlation-id" in answer.headers


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE + 9}-{SIZE + 10}"])
def test_a_range_behind_the_end_is_refused_with_the_size(client, asked):
    answer = client.get(NAME, headers={"range": asked})

    assert (416, "range-not-satisfiable") == (answer.status_code, answer.json()["code"])
    assert ["Range"] == [fault["header"] for fault in answer.json()["errors"]]
    assert f"bytes */{SIZE}" == answer.headers["content-range"]


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-1", "bytes=a-b", "pages=1-2", "bytes", f"bytes={'9' * 5000}-"]
)
def test_several_ranges_and_what_is_none_are_answered_by_the_whole(client, asked):
    answer = client.get(NAME, headers={"range": asked})

    assert (200, SIZE) == (answer.status_code, len(answer.content))


def test_a_range_of_another_content_is_answered_by_the_whole(client):
    etag = client.get(NAME).headers["etag"]
    answers = [
        client.get(NAME, headers={"range": "bytes=0-1", "if-range": each}) for each in (etag, '"other"')
    ]

    assert [206, 200] == [answer.status_code for answer in answers]


def test_who_has_it_is_not_sent_it_again_and_head_says_how_long_it_is(client):
    again = client.get(NAME, headers={"if-none-match": client.get(NAME).headers["etag"]})
    head = client.head(NAME)

    assert (304, b"") == (again.status_code, again.content)
    assert again.headers["cache-control"] == head.headers["cache-control"]
    assert (200, str(SIZE)) == (head.status_code, head.headers["content-length"])


@pytest.mark.parametrize(
    ("name", "content", "headers", "wanted"),
    [
        (NAME, PICTURE + b"x", PNG, (422, "validation-failed")),
        (name_of(b"<svg/>", "png"), b"<svg/>", PNG, (422, "validation-failed")),
        (name_of(b"\xff", "js"), b"\xff", {"content-type": "text/javascript"}, (422, "validation-failed")),
        (NAME, PICTURE, {"content-type": "text/html"}, (415, "unsupported-media-type")),
        (NAME, PICTURE, {}, (415, "unsupported-media-type")),
        (NAME, PICTURE, PNG | {"content-encoding": "gzip"}, (415, "unsupported-media-type")),
        (name_of(b"<svg/>", "svg"), b"<svg/>", {"content-type": "image/svg+xml"}, (404, "not-found")),
        ("..%2Fsecret", b"", PNG, (404, "not-found")),
    ],
    ids=["hash", "signature", "text", "type", "no type", "encoded", "svg", "path"],
)
def test_what_its_name_does_not_say_is_not_stored(client, name, content, headers, wanted):
    answer = client.put(name, content=content, headers=headers)

    assert wanted == (answer.status_code, answer.json()["code"])
    assert client.get(name).status_code == (200 if name == NAME else 404)
    assert PICTURE == client.get(NAME).content


def test_content_may_be_as_large_as_the_limit_and_no_larger(client):
    large = PICTURE + bytes(BYTES_MAX - SIZE)
    stored, refused = (
        client.put(name_of(each, "png"), content=each, headers=PNG) for each in (large, large + b"x")
    )

    assert (201, BYTES_MAX) == (stored.status_code, stored.json()["bytes"])
    assert (413, "body-too-large") == (refused.status_code, refused.json()["code"])


def test_a_write_that_the_disk_does_not_take_leaves_nothing(tmp_path, monkeypatch):
    media = Media(tmp_path)
    monkeypatch.setattr("runtime.durable.os.fsync", _full)
    with pytest.raises(OSError, match="full"):
        media.put(NAME, PICTURE)

    assert media.found(NAME) is None
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def _full(_descriptor):
    raise OSError("the disk is full")
