"""Ends when everybody who follows the log of a shop stands at its head: `settled.py URL` of the query API."""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

WITHIN_S = 240
PAUSE_S = 0.1


def main(url: str) -> int:
    # A client that begins in milliseconds: it is asked for before each request of the pages.
    client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WITHIN_S)
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up:
        client.request("GET", "/v1/status")
        status = json.load(client.getresponse())
        followers = [status["relay"], *status["views"], *status["process_managers"]]
        if {0} == {each["lag_events"] for each in followers}:
            return 0
        time.sleep(PAUSE_S)
    print(f"/problems/ not settled within {WITHIN_S} s: {followers}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
