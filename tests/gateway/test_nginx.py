"""What is generated for nginx, read as text: which requests it may send again, and to which API each route goes.

There is no wheel of nginx, so none is started here.
"""

import re

import pytest
from msgspec import structs

from counterfoil.api_gateway import nginx


@pytest.fixture(scope="module")
def text(gateway_layout):
    return nginx.configuration(structs.replace(gateway_layout, origins=()))


@pytest.fixture(scope="module")
def named(text):
    """The named locations by the code that leads to them, each with its lines."""
    bodies = dict(re.findall(r"location (@\w+[\w.]*) \{\n(.*?)\n    \}", text, re.DOTALL))
    return {code: (name, bodies[name]) for code, name in re.findall(r"error_page (5[6-9]\d) = (@\S+);", text)}


def kinds(text, route, named):
    """Where each kind of request to a route is led."""
    pattern = None if route.pattern is None else re.sub(r"\?P<\w+>", "?:", route.pattern)
    head = f"location = {route.path} {{" if pattern is None else f'location ~ "{pattern}" {{'
    body = text.split(head, 1)[1].split("\n    }", 1)[0]
    return {
        kind: named[code] for kind, code in re.findall(r"\(\$kind = ([\w-]+)\) \{ return (\d+); \}", body)
    }


def test_each_route_is_led_to_its_api_and_sent_again_only_where_that_has_no_effect(
    text, gateway_layout, named
):
    for route in gateway_layout.routes:
        for kind, (name, body) in kinds(text, route, named).items():
            if kind.startswith("read") != route.reads:
                continue  # another route of the same address
            may_be_sent_again = route.reads or (kind.startswith("keyed") and route.takes_key)

            assert f"http://{route.api};" in body, (route.path, name)
            assert may_be_sent_again == ("non_idempotent" in body), (route.path, kind)
            assert may_be_sent_again != ("proxy_next_upstream off;" in body), (route.path, kind)


def test_every_route_has_a_location(text, gateway_layout, named):
    for route in gateway_layout.routes:
        wanted = (
            {"read", "read-waiting"} if route.reads else {"keyed", "keyed-waiting", "sent", "sent-waiting"}
        )

        assert wanted <= kinds(text, route, named).keys(), route.path


def test_braces_and_statements_are_closed(text):
    outside = re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"", "", text)

    assert outside.count("{") == outside.count("}")
    assert [] == [line for line in outside.splitlines() if line.strip() and line.rstrip()[-1] not in "{};"]
