"""`make security` never calls clean what it did not examine."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devservers.child import free_port
from tests.supply_chain import bill_of_materials, code_rules, vulnerabilities
from tests.supply_chain.examined import FOUND, IN_ORDER, NOT_EXAMINED, PARTLY, Examined, code_of
from tests.supply_chain.locks import PRODUCTION, REQUIREMENTS, Package, locked

LOCK = REQUIREMENTS / "build.txt"  # a single package: each is asked about in a request of its own
(PACKAGE,) = locked([LOCK])
VULNERABLE = {
    "vulns": [
        {
            "schema_version": "1.7.0",
            "id": "PYSEC-2026-1",
            "aliases": ["CVE-2026-1"],
            "summary": "A planted vulnerability",
            "affected": [
                {
                    "package": {"name": PACKAGE.name, "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
                }
            ],
        }
    ]
}
Answering = Callable[[dict[str, Any]], tuple[int, bytes]]


@contextlib.contextmanager
def osv(answering: Answering) -> Iterator[str]:
    """A service that speaks the protocol of https://google.github.io/osv.dev/post-v1-query/; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answering(query)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            serving.join()


def test_a_service_that_is_not_reached_is_not_clean():
    examined = vulnerabilities.examine([LOCK], osv_url=f"http://127.0.0.1:{free_port()}/v1/query")

    assert NOT_EXAMINED == examined.code
    assert "could not be asked" in str(examined)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"{}", IN_ORDER),
        (200, json.dumps(VULNERABLE).encode(), FOUND),
        (503, b"", NOT_EXAMINED),
        (200, b"<html>log in first</html>", NOT_EXAMINED),
    ],
    ids=["clean", "vulnerable", "unavailable", "another page"],
)
def test_what_the_service_answers_makes_the_code(status: int, body: bytes, code: int):
    asked: list[dict[str, Any]] = []

    def answering(query: dict[str, Any]) -> tuple[int, bytes]:
        asked.append(query)
        return status, body

    with osv(answering) as url:
        examined = vulnerabilities.examine([LOCK], osv_url=url)

    assert code == examined.code, str(examined)
    assert {"package": {"name": PACKAGE.name, "ecosystem": "PyPI"}, "version": PACKAGE.version} in asked
    if code == FOUND:
        assert (
            f"{PACKAGE.name} {PACKAGE.version} (production): PYSEC-2026-1, CVE-2026-1; 99.1 mends it"
            in str(examined)
        )


def test_a_package_that_no_answer_names_is_not_clean():
    named: list[dict[str, Any]] = [
        {"name": "named", "version": "1", "vulns": []},
        {"name": "skipped", "skip_reason": "unknown"},
    ]

    examined = vulnerabilities._judged(named, wanted={Package("named", "1"), Package("skipped", "2")})

    assert (PARTLY, ("skipped 2 was not examined",)) == (examined.code, examined.lines)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 4), 4), ((4, 1), 1), ((3, 0), 3), ((3, 4), 4)],
)
def test_what_was_found_comes_before_what_was_not_examined(codes: tuple[int, ...], expected: int):
    assert expected == code_of(Examined("a check", code) for code in codes)


def test_the_bill_of_materials_names_what_production_installs_with_the_hashes_of_the_lock(tmp_path: Path):
    written = bill_of_materials.write(tmp_path, validate=False)
    (path,) = tmp_path.iterdir()
    bill = json.loads(path.read_text())

    assert IN_ORDER == written.code
    assert ("CycloneDX", "counterfoil") == (bill["bomFormat"], bill["metadata"]["component"]["name"])
    assert locked(PRODUCTION) == {
        Package(each["name"], each["version"]): frozenset(
            digest["content"] for file in each["externalReferences"] for digest in file["hashes"]
        )
        for each in bill["components"]
    }


def test_a_rule_that_the_code_breaks_is_found(tmp_path: Path):
    planted = tmp_path / "planted.py"
    planted.write_text("import pickle\nsold = pickle.loads(b'')\nassert sold\n")

    examined = code_rules.examine([str(planted)])

    assert FOUND == examined.code
    assert [line.split()[1] for line in examined.lines] == ["B403", "B301"]
