"""What the pages ask of curl, for machines that have none: -s, -i, -X, -H, -d and an address."""

import argparse
import sys

import httpx

TIMEOUT_S = 120


def main(arguments: list[str]) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("-s", action="store_true")
    options.add_argument("-i", action="store_true")
    options.add_argument("-X", dest="method")
    options.add_argument("-H", dest="headers", action="append", default=[])
    options.add_argument("-d", dest="body")
    options.add_argument("url")
    asked = options.parse_args(arguments)
    answer = httpx.request(
        asked.method or ("GET" if asked.body is None else "POST"),
        asked.url if "://" in asked.url else f"http://{asked.url}",
        headers=[tuple(header.split(": ", 1)) for header in asked.headers],
        content=asked.body,
        timeout=TIMEOUT_S,
        trust_env=False,
    )
    if asked.i:
        print(f"HTTP/1.1 {answer.status_code}")
        print("\n".join(f"{name}: {value}" for name, value in answer.headers.items()), end="\n\n")
    print(answer.text, end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
