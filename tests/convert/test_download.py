"""Downloads from a server on loopback that cuts connections and lies: resumed, checked, and never half there."""
import hashlib
import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vft.convert import download, registry, transfer
from vft.errors import WeightsError

CONTENT = os.urandom(50_000)
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()


class Server:
  """Serves `content`; each request takes its misbehaviour from `plan`, a list of dicts, the last one staying."""

  def __init__(self):
    self.content, self.etag, self.plan, self.asked = CONTENT, '"one"', [{}], []
    server = self

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def log_message(self, format, *args):
        del format, args

      def do_GET(self):
        server.asked.append((self.path, dict(self.headers)))
        how = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        server.answer(self, how)
        self.close_connection = True
    self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    self.http.daemon_threads = True
    self.http.handle_error = lambda request, address: None  # clients that give up
    self.address = f"http://127.0.0.1:{self.http.server_port}"
    threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

  def answer(self, request, how):
    """status, to: a redirect; cut: bytes sent; etag, content: from now on; ranges, length, type, wait: as they say."""
    self.etag, self.content = how.get("etag", self.etag), how.get("content", self.content)
    if "wait" in how:
      how["wait"].wait(60)
    begin, asked = 0, request.headers.get("Range")
    if asked and how.get("ranges", True) and request.headers.get("If-Range", self.etag) == self.etag:
      begin = int(asked.removeprefix("bytes=").removesuffix("-"))
    status = how.get("status", 416 if begin >= len(self.content) else 206 if begin else 200)
    data = self.content[begin:] if status in (200, 206) else b""
    request.send_response(status)
    if status == 206:
      said = how.get("range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
      request.send_header("Content-Range", said)
    for name, value in {"ETag": self.etag, "Location": how.get("to"), "Content-Type": how.get("type"),
                        "X-Linked-ETag": how.get("linked"), "Content-Length": how.get("length", len(data))}.items():
      if value is not None:
        request.send_header(name, str(value))
    request.end_headers()
    request.wfile.write(data[:how.get("cut", len(data))])


@pytest.fixture
def server(monkeypatch):
  for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "VFT_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(transfer, "WAIT_S", 0.01)
  monkeypatch.setattr(transfer, "TIMEOUT_S", 2.0)
  made = Server()
  yield made
  made.http.shutdown()
  made.http.server_close()


@pytest.fixture
def get(server, tmp_path):
  """get(**digests) -> the path of the file, fetched."""
  def call(**digests):
    path = tmp_path / "cache" / "w.pth"
    download.fetch(f"{server.address}/w.pth", path, **digests)
    assert path.read_bytes() == server.content and not list(path.parent.glob("*.part*"))
    return path
  return call


def fails(get, tmp_path, *words, kept, **digests):
  """One message with the words; the file is not there, of its part `kept` bytes are."""
  with pytest.raises(WeightsError) as error:
    get(**digests)
  for word in words:
    assert word in str(error.value), error.value
  part = tmp_path / "cache" / "w.pth.part"
  assert not (tmp_path / "cache" / "w.pth").exists() and (part.stat().st_size if part.exists() else None) == kept


def ranges(server):
  return [headers.get("Range") for _, headers in server.asked]


def test_a_file_arrives_and_is_asked_for_once(server, get, capfd):
  path = get(sha256=SHA256[:8], md5=MD5)
  get()
  assert len(server.asked) == 1 and download.digests(path) == {"sha256": SHA256, "md5": MD5}
  assert "w.pth" in capfd.readouterr().err  # the bar


def test_cut_connections_are_gone_on_with_where_they_broke(server, get):
  server.plan = [{"cut": 20_000}, {"cut": 10_000}, {"cut": 0}, {}]
  get(sha256=SHA256)
  assert ranges(server) == [None, "bytes=20000-", "bytes=30000-", "bytes=30000-"]
  assert server.asked[1][1]["If-Range"] == '"one"'


def test_a_stream_of_https_that_breaks_is_gone_on_with(server, get, monkeypatch):
  chunks = iter([20_000, None])

  def read1(answer, size):
    if (size := next(chunks, size)) is None:
      raise ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")  # bytes between two records
    return answer.read(size)
  monkeypatch.setattr(http.client.HTTPResponse, "read1", read1)
  get(sha256=SHA256)
  assert ranges(server) == [None, "bytes=20000-"]


def test_a_later_command_goes_on_with_the_part(server, get, tmp_path):
  server.plan = [{"cut": 20_000}, {"status": 500}]
  fails(get, tmp_path, "HTTP 500", "20,000 bytes are kept", "goes on from there", str(tmp_path / "cache/w.pth"),
        kept=20_000, sha256=SHA256)
  server.plan = [{}]
  get(sha256=SHA256)
  assert ranges(server)[-1] == "bytes=20000-"


def test_a_server_without_ranges_sends_all_again(server, get):
  server.plan = [{"cut": 20_000}, {"ranges": False}]
  get(sha256=SHA256)


def test_a_server_without_ranges_that_always_cuts_comes_to_an_end(server, get, tmp_path):
  server.plan = [{"cut": 20_000, "ranges": False}]
  fails(get, tmp_path, "cut after 20,000 of 50,000 bytes", kept=20_000)
  assert len(server.asked) == transfer.TRIES


def test_without_an_etag_nothing_is_resumed(server, get, tmp_path):
  server.etag = None
  server.plan = [{"cut": 20_000}, {}]
  get(sha256=SHA256)
  assert ranges(server)[-1] is None
  (tmp_path / "cache/w.pth").unlink()
  server.plan = [{"cut": 20_000}]
  fails(get, tmp_path, "could not be fetched", kept=20_000)
  assert len(server.asked) < 20


def test_a_file_that_changes_in_between_is_taken_anew(server, get):
  server.plan = [{"cut": 20_000}, {"etag": '"two"', "content": os.urandom(40_000)}]
  get()


@pytest.mark.parametrize("said", ["bytes 10-49999/50000", "bytes 20000-59999/60000", "nonsense"])
def test_a_range_that_was_not_asked_for_is_not_appended(server, get, said):
  server.plan = [{"cut": 20_000}, {"range": said}, {}]
  get(sha256=SHA256)
  assert ranges(server) == [None, "bytes=20000-", None]


def test_a_part_of_another_file_shows_in_the_digest_and_is_fetched_anew(server, get, tmp_path):
  server.plan = [{"cut": 20_000}, {"status": 500}]
  fails(get, tmp_path, kept=20_000)
  (tmp_path / "cache/w.pth.part").write_bytes(bytes(20_000))
  server.plan = [{}]
  get(sha256=SHA256)
  assert ranges(server)[-2:] == ["bytes=20000-", None]


def test_a_part_that_was_whole_already_is_checked_and_taken(server, get, tmp_path):
  server.plan = [{"cut": 20_000}, {"status": 500}]
  fails(get, tmp_path, kept=20_000)
  (tmp_path / "cache/w.pth.part").write_bytes(CONTENT)
  server.plan = [{}]
  get(sha256=SHA256)


def test_wrong_content_is_refused_with_both_digests_and_not_kept(server, get, tmp_path):
  fails(get, tmp_path, f"found:    sha256 {SHA256}", "expected: sha256 00ff...", str(tmp_path / "cache/w.pth"),
        kept=None, sha256="00ff")
  fails(get, tmp_path, f"found:    md5 {MD5}", f"expected: md5 {'0' * 32}", kept=None, md5="0" * 32)


def test_the_digest_that_the_hub_states_counts(server, get, tmp_path):
  server.plan = [{"linked": f'"{"0" * 64}"'}]
  fails(get, tmp_path, f"expected: sha256 {'0' * 64}", kept=None)
  server.plan = [{"linked": f'"{SHA256}"', "status": 302, "to": "/elsewhere"}, {}]
  get()


@pytest.mark.parametrize("length", [60_000, 40_000])
def test_a_wrong_length_is_noticed(server, get, tmp_path, length):
  server.plan = [{"length": length}]
  server.etag = None
  if length > len(CONTENT):
    fails(get, tmp_path, "cut after 50,000 of 60,000 bytes", kept=50_000, sha256=SHA256)
  else:
    fails(get, tmp_path, "is not the file that is expected", kept=None, sha256=SHA256)


@pytest.mark.parametrize(("status", "words"), [(404, ("HTTP 404", "by hand")), (403, ("HTTP 403", "HF_TOKEN")),
                                               (410, ("HTTP 410",))])
def test_a_refusal_is_final_at_once(server, get, tmp_path, status, words):
  server.plan = [{"status": status}]
  fails(get, tmp_path, *words, str(tmp_path / "cache/w.pth"), kept=None)
  assert len(server.asked) == 1


def test_a_busy_server_is_asked_again(server, get):
  server.plan = [{"status": 503}, {"status": 429}, {}]
  get(sha256=SHA256)


def test_a_silent_server_is_given_up(server, get, tmp_path, monkeypatch):
  monkeypatch.setattr(transfer, "TIMEOUT_S", 0.1)
  monkeypatch.setattr(transfer, "TRIES", 2)
  server.plan = [{"wait": threading.Event()}]
  fails(get, tmp_path, "timed out", "(2 tries", kept=None)
  server.plan[0]["wait"].set()


def test_a_web_page_in_place_of_the_file_is_named(server, get, tmp_path):
  server.plan = [{"type": "text/html; charset=utf-8"}]
  fails(get, tmp_path, "gives a web page, not a file", kept=None)


@pytest.mark.fault("F53", "no server at all", "exit 4: 'refused'; the part is kept")
def test_no_server_at_all(server, get, tmp_path):
  server.address = "http://127.0.0.1:1"
  fails(get, tmp_path, "refused", kept=None)


def test_a_full_disk_is_said_before_the_first_byte(server, get, tmp_path, monkeypatch):
  monkeypatch.setattr(transfer, "SPARE_BYTES", 2**60)
  fails(get, tmp_path, "bytes free", "VFT_CACHE", kept=None)


def test_a_redirect_leads_to_no_file_and_takes_no_token_along(server, get, tmp_path):
  server.plan = [{"status": 302, "to": "file:///etc/passwd"}]
  fails(get, tmp_path, "etc/passwd", kept=None)
  other = Server()
  server.plan = [{"status": 302, "to": f"{other.address}/x"}]
  get(token="secret")
  assert "Authorization" in server.asked[-1][1] and "Authorization" not in other.asked[-1][1]
  other.http.shutdown()
  other.http.server_close()
  with pytest.raises(WeightsError, match="no http or https"):
    download.fetch("file:///etc/passwd", tmp_path / "x")


def test_a_folder_that_cannot_be_written(server, tmp_path):
  (tmp_path / "cache").write_text("a file")
  with pytest.raises(WeightsError, match=r"cannot be written.*VFT_CACHE"):
    download.fetch(f"{server.address}/w.pth", tmp_path / "cache" / "w.pth")


def test_two_processes_share_one_download(server, tmp_path):
  go, root = threading.Event(), Path(__file__).resolve().parents[2]
  server.plan = [{"wait": go}, {}]
  code = ("import sys; from pathlib import Path; from vft.convert import download; "
          "print(download.fetch(sys.argv[1], Path(sys.argv[2]))['sha256'])")
  command = [sys.executable, "-c", code, f"{server.address}/w.pth", str(tmp_path / "w.pth")]
  with (tmp_path / "said").open("w") as said:
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, cwd=root) for _ in range(2)]
    while "waiting for another process" not in (tmp_path / "said").read_text():  # the second one says so
      assert all(p.poll() is None for p in both)
      time.sleep(0.05)
    go.set()
    assert [p.communicate(timeout=30)[0].strip() for p in both] == [SHA256] * 2
  assert len(server.asked) == 1


@pytest.mark.fault("F53", "VFT_OFFLINE=1", "not asked; the place to put the file is said")
def test_the_hub_is_asked_at_its_endpoint_and_offline_not_at_all(server, tmp_path, monkeypatch):
  monkeypatch.setenv("HF_ENDPOINT", server.address)
  monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
  monkeypatch.setenv("HF_TOKEN", "mine")
  monkeypatch.setenv("VFT_CACHE", str(tmp_path / "cache"))
  monkeypatch.setenv("VFT_OFFLINE", "1")
  place = tmp_path / "cache" / "dinov2_s14" / "model.safetensors"
  with pytest.raises(WeightsError) as error:
    registry.find("dinov2_s14")
  for word in (f"{server.address}/facebook/dinov2-small/resolve/main/model.safetensors", str(place), "VFT_OFFLINE"):
    assert word in str(error.value)
  monkeypatch.delenv("VFT_OFFLINE")
  assert registry.find("dinov2_s14") == (place, registry.REGISTRY["dinov2_s14"])
  asked, headers = server.asked[0]
  assert asked == "/facebook/dinov2-small/resolve/main/model.safetensors" and headers["Authorization"] == "Bearer mine"
  assert json.loads(place.with_name("model.safetensors.json").read_text())["sha256"] == SHA256
  monkeypatch.setenv("HF_HUB_OFFLINE", "1")
  assert registry.find("dinov2_s14")[0] == place  # it is here
  assert len(server.asked) == 1
