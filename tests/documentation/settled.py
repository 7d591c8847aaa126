"""Ends when everybody who follows the log of a shop stands at its head: `settled.py URL` of the query API."""

import json
import sys
import time
import urllib.request

WITHIN_S = 240
PAUSE_S = 0.1


def main(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up:
        with opener.open(f"{url}/v1/status", timeout=WITHIN_S) as answer:
            status = json.load(answer)
        followers = [status["relay"], *status["views"], *status["process_managers"]]
        if {0} == {each["lag_events"] for each in followers}:
            return 0
        time.sleep(PAUSE_S)
    print(f"/problems/ not settled within {WITHIN_S} s: {followers}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
