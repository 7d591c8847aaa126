"""Asking a process of ours over HTTP whether it is ready."""

import urllib.error
import urllib.request
from typing import Final

TIMEOUT_S: Final = 2.0


def answers_ok(url: str) -> bool:
    """Whether a GET of this address answers 200 now."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
