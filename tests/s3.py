"""An S3 server of moto's on loopback, which counts what it sends: the real protocol, by the real driver."""
import threading
from collections.abc import Iterator

import pytest
import requests
import s3fs
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from vft import storage
from vft.data.readers import ranges

BUCKET = "s3://clips"


class Quiet(WSGIRequestHandler):
  def log(self, type, message, *args):
    pass


class Server:
  """A WSGI application around moto's. `sent`: (method, path, bytes) of every answer since it was last emptied."""

  def __init__(self):
    self._app, self.sent, self.down = DomainDispatcherApplication(create_backend_app), [], False
    self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
    self.url = f"http://127.0.0.1:{self._server.server_port}"
    threading.Thread(target=self._server.serve_forever, daemon=True).start()

  def __call__(self, environ, start):
    if self.down:
      start("503 Service Unavailable", [("Content-Length", "0")])
      return [b""]
    body = b"".join(self._app(environ, start))
    self.sent.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], len(body)))
    return [body]

  def bytes_of(self, name: str) -> int:
    """Sent of the files that end so."""
    return sum(count for method, path, count in self.sent if method == "GET" and path.endswith(name))

  def close(self):
    self._server.shutdown()
    self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
  """With an empty bucket, BUCKET; what the drivers read from the environment says where it is."""
  running = Server()
  with pytest.MonkeyPatch.context() as patch:
    for name, value in (("AWS_ENDPOINT_URL_S3", running.url), ("AWS_ACCESS_KEY_ID", "test"),
                        ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")):
      patch.setenv(name, value)
    storage._of_protocol.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()  # of an earlier server: fsspec keeps them, whatever the environment says
    requests.post(f"{running.url}/moto-api/reset", timeout=60).raise_for_status()  # what another module has left
    storage._driver(BUCKET)[0].mkdir("clips")
    yield running
  running.close()
  storage._of_protocol.cache_clear()


def forget() -> None:
  """As a new process: nothing of remote files is known."""
  ranges.about.cache_clear()
  ranges._blocks.clear()


def upload(folder, url: str) -> None:
  """All files below a folder."""
  for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    storage.send(path, f"{url}/{path.relative_to(folder).as_posix()}")
