"""Which media type a caller prefers: RFC 9110, section 12.5.1, with its own example."""

import pytest

from runtime.http import accept

OFFERED = ("application/json", "text/csv", "text/html")


@pytest.mark.parametrize(
    ("accepted", "preferred"),
    [
        ([], "application/json"),
        (["*/*"], "application/json"),
        (["text/csv"], "text/csv"),
        (["TEXT/CSV ; charset=utf-8"], "text/csv"),
        (["text/*"], "text/csv"),
        (["text/*;q=0.3, text/html;q=0.7, */*;q=0.5"], "text/html"),
        (["text/*;q=0.9, text/csv;q=0.1, application/json;q=0.2"], "text/html"),
        (["application/json;q=0, */*"], "text/csv"),
        (["application/json;q=0.1", "text/csv;q=0.2"], "text/csv"),
        (["image/png"], None),
        (["*/*;q=0"], None),
        (["nonsense", "q=1"], "application/json"),
        (["text/csv;q=high"], "text/csv"),
    ],
)
def test_the_type_with_the_highest_quality_by_its_most_specific_range_is_preferred(accepted, preferred):
    headers = [(b"accept", each.encode()) for each in accepted]

    assert preferred == accept.preferred(headers, OFFERED)


def test_a_flood_of_ranges_is_read_only_so_far():
    headers = [(b"accept", b",".join([b"image/x"] * accept.RANGES_MAX + [b"text/csv"]))]

    assert accept.preferred(headers, OFFERED) is None
