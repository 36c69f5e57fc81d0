"""The table of published weights: what it states, where a file is looked for, and what it is checked against."""
import hashlib
import json
import re

import pytest
from safetensors.numpy import save_file

from tests.convert.test_download import CONTENT, SHA256, server
from vft.convert import RULES, entries, formats, registry
from vft.errors import WeightsError
from vft.models import FAMILIES

__all__ = ["server"]  # a fixture
PUBLISHED = list(registry.REGISTRY.values())


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
  """No cache but the test's."""
  monkeypatch.setenv("VFT_CACHE", str(tmp_path / "cache"))
  monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
  for name in ("HF_HUB_CACHE", "HF_ENDPOINT", "VFT_OFFLINE", "HF_HUB_OFFLINE"):
    monkeypatch.delenv(name, raising=False)


def put(monkeypatch, **fields):
  """An entry of this name alone."""
  entry = entries.Entry(**{"name": "mine", "family": "i3d", "licence": "MIT", **fields})
  monkeypatch.setitem(registry.REGISTRY, "mine", entry)
  return entry


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: e.name)
def test_an_entry_is_whole(entry):
  assert entry.family in FAMILIES and entry.family in RULES and entry.variant in FAMILIES[entry.family].variants
  assert sum(map(bool, (entry.package, entry.repo, entry.url, entry.page))) == 1
  assert bool(entry.package) == bool(entry.module) and (not (entry.package or entry.repo) or entry.file)
  assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{8}|", entry.sha256) and re.fullmatch(r"[0-9a-f]{32}|", entry.md5)
  assert entry.url.startswith(("https://", "")) and entry.licence and entry.published
  assert len(entry.mean) == len(entry.std) in (0, 3) and len(set(entry.labels)) == len(entry.labels)
  assert entry.labels == () or len(entry.labels) == FAMILIES[entry.family].classes
  assert not entry.mean or (entry.mean, entry.std) == FAMILIES[entry.family].statistics(entry.variant)


def test_torchvisions_digests_are_those_in_its_file_names():
  for entry in PUBLISHED:
    if "pytorch.org" in entry.url:
      assert entry.url.endswith(f"-{entry.sha256}.pth") and len(entry.sha256) == 8


def test_a_url_a_file_of_the_hub_and_a_name_are_told_apart(monkeypatch):
  assert registry.get("hf:owner/name/folder/w.bin").repo == "owner/name"
  named = registry.get("hf:owner/name@v1.0/w.safetensors")
  assert (named.revision, named.file) == ("v1.0", "w.safetensors")
  assert registry.url_of(named) == "https://huggingface.co/owner/name/resolve/v1.0/w.safetensors"
  assert registry.get("https://host/w.pth?download=1").url == "https://host/w.pth?download=1"
  assert registry.place(registry.get("https://host/a/../w.pth?x=1")).name == "w.pth"
  assert registry.get("hf:owner") is None and registry.get("w.pth") is None


@pytest.mark.parametrize("name", ["https://host/..", "https://host/../../etc/x", "hf:a/b/../../c", "http://..", "http://"])
def test_a_name_cannot_lead_out_of_the_cache_folder(tmp_path, name):
  assert registry.place(registry.get(name)).resolve().parent.parent == tmp_path / "cache"


@pytest.mark.parametrize(("one", "other"), [
    ("https://host/exp_1/best.pth", "https://host/exp/1/best.pth"), ("hf:a/b/c/w.pth", "hf:a/b_c/w.pth"),
    (f"https://host/a/w.pth?{160 * 'x'}", f"https://host/b/w.pth?{160 * 'x'}")])
def test_two_addresses_have_two_places(one, other):
  assert registry.place(registry.get(one)) != registry.place(registry.get(other))


def test_a_download_is_pinned_at_its_first_use(server, monkeypatch, tmp_path):
  entry = put(monkeypatch, url=f"{server.address}/w.pth")
  path, found = registry.find("mine")
  assert found == entry and path == tmp_path / "cache/mine/w.pth" and path.read_bytes() == CONTENT
  record = json.loads((tmp_path / "cache/mine/w.pth.json").read_text())
  assert (record["sha256"], record["bytes"], record["from"]) == (SHA256, 50_000, entry.url)
  path.write_bytes(b"another file")
  with pytest.raises(WeightsError, match=rf"(?s)first used: {SHA256}.*rm .*vft weights fetch mine"):
    registry.find("mine")


@pytest.mark.parametrize("pin", [dict(sha256="00ff00ff"), dict(sha256=SHA256[:-1] + "x"), dict(md5="0" * 32)])
def test_a_file_put_there_by_hand_is_checked_too(server, monkeypatch, tmp_path, pin):
  put(monkeypatch, url=f"{server.address}/w.pth", **pin)
  (tmp_path / "cache/mine").mkdir(parents=True)
  (tmp_path / "cache/mine/w.pth").write_bytes(CONTENT)
  with pytest.raises(WeightsError, match=r"(?s)than the one pinned for mine.*rm .*w\.pth; vft weights fetch mine"):
    registry.find("mine")
  put(monkeypatch, url=f"{server.address}/w.pth", sha256=SHA256[:8], md5=hashlib.md5(CONTENT).hexdigest())
  assert registry.find("mine")[0].read_bytes() == CONTENT and not server.asked


def test_a_file_that_the_hubs_own_library_has_is_used_where_it_lies(server, monkeypatch, tmp_path):
  put(monkeypatch, repo="owner/name", file="w.bin")
  monkeypatch.setenv("HF_ENDPOINT", server.address)
  folder = tmp_path / "home" / "hub" / "models--owner--name"
  (folder / "snapshots" / "abc").mkdir(parents=True)
  (folder / "refs").mkdir()
  (folder / "refs" / "main").write_text("abc")
  (folder / "snapshots" / "abc" / "w.bin").write_bytes(CONTENT)
  assert registry.find("mine")[0] == folder / "snapshots" / "abc" / "w.bin" and not server.asked
  assert [p.name for p in (folder / "snapshots" / "abc").iterdir()] == ["w.bin"]  # our record is in our folder
  assert json.loads((tmp_path / "cache/mine/w.bin.json").read_text())["sha256"] == SHA256


def test_weights_for_persons_to_download_say_where_and_where_to(tmp_path):
  with pytest.raises(WeightsError, match=r"(?s)https://drive\.google\.com.*put it at .*cache/endo_fm/endo_fm\.pth"):
    registry.find("endo_fm")
  (tmp_path / "cache/endo_fm").mkdir(parents=True)
  (tmp_path / "cache/endo_fm/endo_fm.pth").write_bytes(CONTENT)
  assert registry.find("endo_fm")[0].is_file()


def test_statistics_are_those_of_the_entry_or_of_our_own_file(tmp_path):
  assert registry.statistics("i3d_k400") == ((0.5,) * 3, (0.5,) * 3)
  about = dict(family="i3d", mean=[0.1] * 3, std=[0.2] * 3)
  save_file({}, tmp_path / "own.safetensors", metadata={formats.OWN: json.dumps(about)})
  assert registry.statistics(str(tmp_path / "own.safetensors")) == ((0.1,) * 3, (0.2,) * 3)
  save_file({}, tmp_path / "foreign.safetensors")
  assert registry.statistics(str(tmp_path / "foreign.safetensors")) == ((), ())
