"""A real object store for tests: moto's S3 server in a process of its own, and a proxy that spoils it."""

import http.client
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx

from personavlm.memory_store.storage.objects import Objects, open_objects

BUCKET = "bucket"

# One request at a time: moto looks at a condition and writes in two steps, which S3 does in one.
SERVER = """
import logging
from threading import Lock
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app, turn = DomainDispatcherApplication(create_backend_app), Lock()

def one_at_a_time(environ, start_response):
    with turn:
        return app(environ, start_response)

server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class BucketServer:
    """An empty bucket behind an endpoint."""

    endpoint: str

    @property
    def options(self) -> dict[str, str]:
        """LanceDB's ``storage_options``."""
        return {
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "aws_endpoint": self.endpoint,
            "region": "us-east-1",
            "allow_http": "true",
        }

    def new_uri(self) -> str:
        """A part of the bucket that nobody has used."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    def new_objects(self) -> Objects:
        """Objects in such a part."""
        return open_objects(self.new_uri(), self.options)


@contextmanager
def bucket_server() -> Iterator[BucketServer]:
    """The server, with one bucket."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process, process.stdout:
        try:
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            httpx.put(f"{endpoint}/{BUCKET}", timeout=60).raise_for_status()
            yield BucketServer(endpoint)
        finally:
            process.kill()


class Proxy(BaseHTTPRequestHandler):
    """Hands every request on, but drops or refuses some of its headers, by default none."""

    upstream: str
    dropped: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if any(name.lower() in self.refused for name in self.headers):
            self._answer(501, [], b"<Error><Code>NotImplemented</Code></Error>")
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in self.dropped}
        connection = http.client.HTTPConnection(self.upstream)
        try:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            self._answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests say nothing of their requests."""


@contextmanager
def spoiled(
    server: BucketServer, *, drop: frozenset[str] = frozenset(), refuse: frozenset[str] = frozenset()
) -> Iterator[BucketServer]:
    """The same bucket through a proxy that drops these request headers, or answers them with 501."""
    members = {"upstream": urlsplit(server.endpoint).netloc, "dropped": drop, "refused": refuse}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Spoiler", (Proxy,), members)) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield BucketServer(f"http://127.0.0.1:{proxy.server_port}")
        finally:
            proxy.shutdown()
            thread.join()
