"""An HTTP server whose answers a test computes from what is asked; it keeps what was asked, in order."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOST = object()
"""An answer that never comes: the connection is cut."""


class Server:
    """Answers by `script(request body or path) -> (status, headers, object) | LOST`."""

    def __init__(self, script):
        self.asked: list[object] = []
        self.tokens: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer's body waits 40 ms for the ACK of its head

            def do_POST(self):
                self.reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def do_GET(self):
                self.reply(self.path)

            def reply(self, request):
                outer.asked.append(request)
                outer.tokens.append(self.headers["authorization"])
                answer = script(request)
                if answer is LOST:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                status, headers, body = answer
                text = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": len(text)}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                """Silent."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
