"""A Maven repository on loopback that serves real jars, or what a test puts in their place."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[bytes], tuple[int, bytes]]
"""From a jar's true content to the Content-Length that is announced and the body that is sent."""


@dataclass
class Mirror:
    """Where it is, what it was asked for, and what it does to which file."""

    address: str
    asked: Counter[str] = field(default_factory=Counter)
    instead: dict[str, Answer] = field(default_factory=dict)


@contextmanager
def mirror_of(jars: Mapping[str, Path]) -> Iterator[Mirror]:
    """Serve files by their names, wherever in the repository they are asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            if name not in jars:
                self.send_error(404)
                return
            mirror.asked[name] += 1
            content = jars[name].read_bytes()
            length, body = mirror.instead.get(name, lambda content: (len(content), content))(content)
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        mirror = Mirror(f"http://127.0.0.1:{server.server_port}/maven2")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
