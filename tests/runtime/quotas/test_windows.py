"""Sliding windows of one process: never more than the quota in any window, for a bounded number of callers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.quotas.quota import Quota, headers_of
from runtime.quotas.windows import Windows

TWO = Quota("write-guest", 2, 60)


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def windows(now):
    return Windows(clock=lambda: now[0])


def test_as_many_pass_as_the_quota_says_until_the_first_leaves_the_window(windows, now):
    assert [(True, 1), (True, 0), (False, 0)] == [
        (each.passes, each.remaining) for each in (windows.take(TWO, "ada") for _ in range(3))
    ]
    now[0] = 59.9
    assert not windows.take(TWO, "ada").passes
    now[0] = 60.0
    assert windows.take(TWO, "ada").passes


def test_one_caller_is_not_counted_by_what_another_sends_or_by_another_limit(windows):
    for subject, quota in itertools.product(("ada", "bob"), (TWO, Quota("read-guest", 2, 60))):
        assert [True, True, False] == [windows.take(quota, subject).passes for _ in range(3)]


def test_who_is_refused_learns_when_there_is_a_place(windows, now):
    windows.take(TWO, "ada")
    now[0] = 10.0
    windows.take(TWO, "ada")
    now[0] = 15.0

    assert 45.0 == windows.take(TWO, "ada").wait_s
    assert "45" == windows.take(TWO, "ada").refusal("too-many-requests", "").headers["retry-after"]


def test_what_another_count_let_pass_is_counted(windows):
    windows.note(TWO, "ada")

    assert [True, False] == [windows.take(TWO, "ada").passes for _ in range(2)]


def test_the_caller_that_was_counted_longest_ago_is_forgotten():
    windows = Windows(kept_max=3)
    for subject in ("ada", "ada", "bob", "cid", "ada", "dan"):
        windows.take(TWO, subject)

    assert 3 == len(windows)
    assert not windows.take(TWO, "ada").passes
    assert windows.take(TWO, "bob").passes


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 5))
def test_never_more_than_the_quota_pass_in_any_window(pauses, most):
    now = [0.0]
    windows, passed = Windows(clock=lambda: now[0]), []
    for pause in pauses:
        now[0] += pause
        if windows.take(Quota("q", most, 60), "ada").passes:
            passed.append(now[0])

    assert all(later - first >= 60 for first, later in zip(passed, passed[most:], strict=False))


def test_an_answer_says_what_is_left_of_every_limit(windows, now):
    now[0] = 0.5
    allowances = [windows.take(TWO, "ada"), windows.take(Quota("write-address", 9), "192.0.2.1")]

    assert [
        (b"ratelimit-policy", b'"write-guest";q=2;w=60, "write-address";q=9;w=60'),
        (b"ratelimit", b'"write-guest";r=1;t=60, "write-address";r=8;t=60'),
    ] == headers_of(allowances)
    assert [] == headers_of([])
