"""A process that counts requests, and ends the connection after each unless `answers` is set."""

import collections
import socketserver
import threading

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Silent:
    """Answers probes, and counts requests by method and address."""

    def __init__(self, *, answers=False):
        self.answers = answers
        self.counted = collections.Counter()
        silent = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while line := self.rfile.readline():
                    method, path, _ = line.decode().split()
                    length = 0
                    while (header := self.rfile.readline().strip()) != b"":
                        name, _, value = header.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    self.rfile.read(length)
                    if path != "/readyz":
                        silent.counted[f"{method} {path}"] += 1
                        if not silent.answers:
                            return
                    self.wfile.write(OK)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
