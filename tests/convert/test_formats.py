"""Files of weights: what is in them comes out, what lies or carries code is refused by name, and nothing of it runs."""
import io
import json
import os
import pickle
import random
import resource
import zipfile
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from safetensors.numpy import save_file

from vft.convert import formats
from vft.errors import WeightsError

FILES = Path(__file__).parent.parent / "golden" / "files"
BASE = np.arange(24, dtype=np.float32)
EXPECTED = {  # see tests/golden/make_files.py
    "state_dict/0.weight": BASE[:6].reshape(2, 3), "state_dict/0.bias": BASE[1:3], "state_dict/1.weight": BASE[2:4],
    "state_dict/1.bias": BASE[3:5], "state_dict/1.running_mean": np.zeros(2), "state_dict/1.running_var": np.ones(2),
    "state_dict/1.num_batches_tracked": np.array(1), "state_dict/view": BASE[4:16].reshape(3, 4).T,
    "state_dict/tied": BASE[4:16].reshape(3, 4), "state_dict/half": np.array([0.5, -2]),
    "state_dict/brain": np.array([1.5, -3]), "state_dict/scalar": np.array(7.0), "state_dict/empty": np.zeros((0, 3)),
    "state_dict/parameter": np.ones((2, 1)),
}


@pytest.fixture
def bounded():
  """Fails where a test has taken more than 300 MB."""
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  yield
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def refuse(path, *words):
  with pytest.raises(WeightsError) as error:
    formats.read(path)
  for word in (str(path), *words):
    assert word in str(error.value), error.value


def same(found, expected):
  assert found.keys() == expected.keys()
  for name, array in expected.items():
    np.testing.assert_array_equal(found[name], array)
    assert found[name].shape == array.shape and found[name].dtype in (np.float32, np.int64)


@pytest.mark.parametrize("name", ["zip.pth", "old.pth"])
def test_torch_checkpoints_of_both_layouts_give_their_arrays_without_the_training_state(name):
  file = formats.read(FILES / name)
  assert file.kind == "torch" and not file.own
  same(file.arrays, EXPECTED)


class Evil:
  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return os.system, (f"touch {self.marker}",)


def write_zip(path, payload, members=(("data/0", bytes(4096)),), how=zipfile.ZIP_STORED):
  with zipfile.ZipFile(path, "w", how) as archive:
    for name, content in (("data.pkl", payload), *members):
      archive.writestr(f"archive/{name}", content)
  return path


@pytest.mark.fault("F55", "malicious .pth: zip, old and numpy, 5 protocols",
                   "exit 4: 'contains code (posix.system)'; nothing ran")
@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("layout", ["zip", "old", "numpy"])
def test_code_is_refused_by_its_name_and_does_not_run(tmp_path, layout, protocol):
  path, marker = tmp_path / "evil.pth", tmp_path / "marker"
  payload = pickle.dumps({"state_dict": Evil(marker)}, protocol)
  if layout == "zip":
    write_zip(path, payload)
  else:
    before = (pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    path.write_bytes(b"".join(before if layout == "old" else ()) + payload)
  refuse(path, "contains code (posix.system)", "not run", "safetensors", "sandbox")
  assert not marker.exists()
  pickle.loads(payload)  # noqa: S301
  assert marker.exists()  # it was a live one


@pytest.mark.parametrize(("payload", "name"), [
    (b"ctorchvision.models.resnet\nResNet\n)\x81.", "torchvision.models.resnet.ResNet"),  # torch.save(model)
    (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x041 + 1\x85R.", "builtins.eval"),
    (b"\x80\x04\x8c\x0bcollections\x8c\x16OrderedDict.__init__.f\x93.", "collections.OrderedDict.__init__.f"),
    (b"(S'true'\nios\nsystem\n.", "os.system"),  # the oldest opcode for it
    (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
    (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
])
def test_globals_beyond_the_list_are_refused(tmp_path, payload, name):
  refuse(write_zip(tmp_path / "w.pth", payload), f"contains code ({name})")


def test_a_state_cannot_change_what_the_reader_is_made_of(tmp_path):
  target = b"cnumpy\nndarray\n"  # in the reader: our own class
  refuse(write_zip(tmp_path / "w.pth", target + b"(N}Vbuild\nNst\x62."), "damaged")
  same(formats.read(FILES / "zip.pth").arrays, EXPECTED)


def test_torchscript_is_code(tmp_path):
  path = write_zip(tmp_path / "w.pt", b"}.", [("constants.pkl", b")."), ("code/a.py", b"")])
  refuse(path, "contains code (TorchScript")


def tensor(shape, strides, offset=0, count=6):
  """{"w": a tensor of a storage of `count` floats}, as torch pickles it."""
  def row(numbers):
    return "(" + "".join(f"I{n}\n" for n in numbers) + "t"
  storage = f"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{count}\ntQ"
  return (f"}}Vw\nctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{row(shape)}{row(strides)}I00\n}}tRs."
          ).encode()


def test_a_tensor_is_a_window_of_its_storage(tmp_path):
  path = write_zip(tmp_path / "w.pth", tensor((2, 2), (1, 2), 1), [("data/0", BASE[:6].tobytes())])
  np.testing.assert_array_equal(formats.read(path).arrays["w"], [[1, 3], [2, 4]])


@pytest.mark.parametrize("lie", [
    dict(shape=(7,), strides=(1,)), dict(shape=(6,), strides=(1,), offset=1), dict(shape=(2,), strides=(2**63,)),
    dict(shape=(2**62, 4), strides=(0, 0)), dict(shape=(-2,), strides=(1,)), dict(shape=(2,), strides=(-1,), offset=5),
    dict(shape=(2,), strides=(1,), offset=-1), dict(shape=(1000, 1000), strides=(0, 0)),
    dict(shape=(2, 3), strides=(1,)), dict(shape=(2,), strides=(1,), count=2**40),
    dict(shape=(1,) * 17, strides=(1,) * 17)])
def test_tensors_that_reach_out_of_their_storage_are_refused(tmp_path, bounded, lie):
  refuse(write_zip(tmp_path / "w.pth", tensor(**lie), [("data/0", bytes(4096))]), "damaged")


def test_a_compressed_storage_or_none_is_refused(tmp_path, bounded):
  refuse(write_zip(tmp_path / "a.pth", tensor((6,), (1,), count=2**20), [("data/0", bytes(2**22))],
                   zipfile.ZIP_DEFLATED), "compressed")
  refuse(write_zip(tmp_path / "b.pth", tensor((6,), (1,)), []), "damaged")


@pytest.mark.parametrize("payload", [
    b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of 2^31 places
    b"\x80\x05\x96" + (2**30).to_bytes(8, "little") + b".",  # a bytearray of 1 GB
    b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".",
    b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b".",
    b"\x80\x02\x82\x01.",  # copyreg's extensions
    pickle.dumps({"a": pickle.PickleBuffer(b"x")}, 5, buffer_callback=lambda b: None),
])
def test_pickles_that_ask_for_memory_or_odd_things_are_refused(tmp_path, bounded, payload):
  (tmp_path / "w.pkl").write_bytes(payload)
  refuse(tmp_path / "w.pkl")


def test_a_small_file_cannot_unfold_to_an_endless_tree(tmp_path, bounded):
  wide = {"a": 1}
  for _ in range(12):
    wide = {str(i): wide for i in range(12)}
  deep = np.zeros(2)
  for _ in range(40):
    deep = {"a": deep}
  for tree in (wide, deep):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(tree))
    refuse(tmp_path / "w.pkl", "damaged")


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_pickles_of_every_protocol(tmp_path, protocol):
  tree = {"params": {"a/b": BASE.reshape(4, 6), "c": np.asfortranarray(BASE.reshape(4, 6)), "d": BASE[:2].astype(">f4"),
                     "e": BASE[:3].astype(np.float16), "step": np.float32(3), "note": "text"}}
  (tmp_path / "w.pkl").write_bytes(pickle.dumps(tree, protocol))
  found = formats.read(tmp_path / "w.pkl")
  assert found.kind == "pickle"
  same(found.arrays, {f"params/{k}": tree["params"][k] for k in ("a/b", "c", "d", "e")})


def write_safetensors(path, header, data=bytes(24), length=None):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
  return path


def one(**changed):
  return {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changed}}


@pytest.mark.fault("F56", "safetensors header that lies, 17 ways", "exit 4; memory bounded")
@pytest.mark.fault("F57", "safetensors with a key twice", 'exit 4: "the key \'a\' twice"')
@pytest.mark.parametrize(("header", "words"), [
    (one(shape=[2, 4]), "'a' of the shape [2, 4] in 24 bytes"),
    (one(data_offsets=[0, 48], shape=[12]), "end elsewhere"),
    (one(data_offsets=[4, 28]), "gap"), (one(data_offsets=[24, 0]), "-24 bytes"), (one(shape=[-2, -3]), "shape"),
    (one(shape=[2**40, 2**40]), "shape"), (one(shape=[2.0, 3]), "shape"), (one(shape=[True] * 99), "shape"),
    (one(dtype="F4"), "the type 'F4'"), (one(extra=1), "alone"), ({"a": [1]}, "alone"), ([1], "no table"),
    ({**one(), "b": {"dtype": "F32", "shape": [1], "data_offsets": [20, 24]}}, "overlap"), ({}, "end elsewhere"),
    ({**one(), "__metadata__": {"a": 1}}, "not texts"), (b"[" * 100_000, "damaged"), (b"{\"a\": \xff", "damaged"),
    (b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}',
     "the key 'a' twice"),
])
def test_a_safetensors_header_that_lies_is_refused(tmp_path, bounded, header, words):
  refuse(write_safetensors(tmp_path / "w.safetensors", header), words)


@pytest.mark.fault("F56", "safetensors header of a false length", "exit 4; memory bounded")
@pytest.mark.parametrize("length", [2**63, 2**40, 10**8, 300, 7])
def test_a_safetensors_header_of_another_length_is_refused(tmp_path, bounded, length):
  refuse(write_safetensors(tmp_path / "w.safetensors", one(), length=length), "damaged")


def test_safetensors_are_read_and_half_precision_becomes_float32(tmp_path):
  arrays = {"a.b": BASE.reshape(4, 6), "h": BASE.astype(np.float16), "b": BASE.astype(ml_dtypes.bfloat16),
            "e": np.zeros((0, 2), np.float32), "i": np.arange(3), "s": np.array(4, np.float32)}
  save_file(arrays, tmp_path / "model", metadata={"format": "pt"})  # by its content, not by its name
  found = formats.read(tmp_path / "model")
  assert found.kind == "safetensors" and not found.own
  same(found.arrays, {name: a.astype(np.float32) if name != "i" else a for name, a in arrays.items()})


def test_our_own_files_say_what_they_are_and_can_be_asked_without_their_arrays(tmp_path):
  about = dict(family="i3d", variant="tiny", labels=["a", "b"], mean=[0.1] * 3, std=[0.2] * 3, licence="MIT")
  save_file({"w": BASE}, tmp_path / "own.safetensors", metadata={formats.OWN: json.dumps(about)})
  for file in (formats.read(tmp_path / "own.safetensors"), formats.describe(tmp_path / "own.safetensors")):
    assert (file.own, file.family, file.variant, file.labels) == (True, "i3d", "tiny", ("a", "b"))
    assert (file.mean, file.std, file.about) == ((0.1,) * 3, (0.2,) * 3, {"licence": "MIT"})
  assert not formats.describe(FILES / "zip.pth").own


@pytest.mark.fault("F58", ".npz with an array of objects", "exit 4: 'a pickle of objects'; nothing ran")
def test_npz(tmp_path):
  np.savez(tmp_path / "a.npz", **{"params/x": BASE, "note": "text", "h": BASE.astype(np.float16)})
  np.savez_compressed(tmp_path / "b.npz", **{"params/x": BASE.reshape(2, 12)})
  same(formats.read(tmp_path / "a.npz").arrays, {"params/x": BASE, "h": BASE})
  same(formats.read(tmp_path / "b.npz").arrays, {"params/x": BASE.reshape(2, 12)})
  np.savez(tmp_path / "c.npz", a=np.array([None, Evil(tmp_path / "marker")]))
  refuse(tmp_path / "c.npz", "contains code (a.npy, a pickle of objects)")
  assert not (tmp_path / "marker").exists()


@pytest.mark.fault("F58", ".npz that unfolds to 32 MB, or lies", "exit 4; memory bounded")
def test_an_npz_that_lies_or_unfolds_is_refused(tmp_path, bounded):
  def member(shape, data):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, dict(descr="<f4", fortran_order=False, shape=shape))
    return out.getvalue() + data
  for shape, data, words in (((2**40,), b"", "2 bytes"), ((2,), bytes(12), "in 12 bytes"),
                             ((2**23,), bytes(2**25), "would unfold to 33,554,432")):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
      archive.writestr("a.npy", member(shape, data))
    refuse(tmp_path / "w.npz", words.replace("2 bytes", "in 0 bytes") if data == b"" else words)


def test_keras_files_give_their_groups_joined_by_slashes(tmp_path):
  for outer in ("", "model_weights/"):
    with h5py.File(tmp_path / "w.h5", "w") as file:
      file[f"{outer}block1_conv1/block1_conv1_W_1:0"] = BASE.reshape(2, 12)
      file[f"{outer}block1_conv1/names"] = "text"
      file.create_dataset(f"{outer}packed/bias", data=BASE, compression="gzip")
      if outer:
        file["optimizer_weights/m"] = BASE
    found = formats.read(tmp_path / "w.h5")
    assert found.kind == "hdf5"
    same(found.arrays, {"block1_conv1/block1_conv1_W_1:0": BASE.reshape(2, 12), "packed/bias": BASE})


def make_external(file, folder):
  file["a"] = h5py.ExternalLink(str(folder / "other.h5"), "secret")


def make_soft(file, folder):
  del folder
  file["b/c"] = BASE
  file["a"] = h5py.SoftLink("/b/c")


def make_virtual(file, folder):
  layout = h5py.VirtualLayout((24,), "f4")
  layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (24,))
  file.create_virtual_dataset("a", layout)


def make_outside(file, folder):
  file.create_dataset("a", (24,), "f4", external=[(str(folder / "other.h5"), 0, 96)])


def make_cycle(file, folder):
  del folder
  file["a/w"] = BASE
  file["a/b"] = file["a"]


def make_bomb(file, folder):
  del folder
  file.create_dataset("a", (2**36,), "f4", chunks=(2**20,))  # takes no place until it is read


@pytest.mark.parametrize(("make", "words"), [
    (make_external, "is a link (ExternalLink"), (make_soft, "is a link (SoftLink"), (make_virtual, "in another file"),
    (make_outside, "in another file"), (make_cycle, "hold each other"), (make_bomb, "would unfold to 274,877,906,944")])
def test_hdf5_that_leads_out_of_its_file_or_unfolds_is_refused(tmp_path, bounded, make, words):
  with h5py.File(tmp_path / "other.h5", "w") as file:
    file["secret"] = BASE
  with h5py.File(tmp_path / "w.h5", "w") as file:
    make(file, tmp_path)
  refuse(tmp_path / "w.h5", words)


def test_orbax_folders(tmp_path):
  tree = {"params": {"a": {"kernel": BASE.reshape(2, 12)}, "b": BASE[:3].astype(ml_dtypes.bfloat16)},
          "opt_state": [{"mu": BASE}], "step": 3}
  ocp.PyTreeCheckpointer().save(tmp_path / "step", tree)
  for folder in (tmp_path / "step", tmp_path):  # or the folder of its one item
    found = formats.read(folder)
    assert found.kind == "orbax"
    same(found.arrays, {"params/a/kernel": BASE.reshape(2, 12), "params/b": BASE[:3]})
  (tmp_path / "empty").mkdir()
  refuse(tmp_path / "empty", "without a checkpoint of orbax")


@pytest.mark.parametrize("keys", [("params",), ("optimizer", "target")])
def test_files_of_flax(tmp_path, keys):
  pieces = {"__msgpack_chunked_array__": True, "shape": {"0": 2, "1": 12}, "chunks": {"0": BASE[:9], "1": BASE[9:]}}
  tree = {"a": {"kernel": pieces}, "b": BASE[:3].astype(ml_dtypes.bfloat16)}  # as arrays beyond 1 GB are cut
  for key in reversed(keys):
    tree = {key: tree, "state": {"mu": BASE}} if key == "target" else {key: tree}
  (tmp_path / "checkpoint").write_bytes(serialization.to_bytes({**tree, "opt_state": {"0": {"mu": BASE}}, "step": 3}))
  found = formats.read(tmp_path / "checkpoint")
  assert found.kind == "msgpack" and not found.own
  prefix = "params/" if "params" in keys else ""
  same(found.arrays, {f"{prefix}a/kernel": BASE.reshape(2, 12), f"{prefix}b": BASE[:3]})


@pytest.mark.parametrize("content", [
    b"\xdf\xff\xff\xff\xff", b"\x81\xa1a" + b"\x81\xa1a" * 5000, b"\x81\xa1a\xc7\x05\x01\x93\x91\x02\xa1O\xc4\x00",
    b"\x81\xa1a\xc7\x0a\x01\x93\x91\xcf" + b"\x7f" * 8, b"\x81\xa1a\x01"])
def test_a_flax_file_that_lies_is_refused(tmp_path, bounded, content):
  (tmp_path / "checkpoint").write_bytes(content)
  refuse(tmp_path / "checkpoint")


@pytest.mark.parametrize(("content", "words"), [
    (b"<!DOCTYPE html><html>", "is a web page"), (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (b"\x1f\x8b\x08", "packed archive"), (b"", "damaged"), (b"hello world, no weights here", "damaged")])
def test_what_is_often_mistaken_for_weights_is_named(tmp_path, content, words):
  (tmp_path / "w.pth").write_bytes(content)
  refuse(tmp_path / "w.pth", words)


def test_a_zip_of_something_else_and_a_missing_file(tmp_path):
  with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
    archive.writestr("model.weights.h5", b"")
  refuse(tmp_path / "w.keras", "['model.weights.h5']", "Unpack it")
  refuse(tmp_path / "none.pth", "No such file")


def test_damaged_files_are_an_error_of_ours_and_never_another(tmp_path, bounded):
  rng = random.Random(0)
  save_file({"a": BASE, "b": BASE[:2]}, tmp_path / "w.safetensors")
  np.savez(tmp_path / "w.npz", a=BASE)
  (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": BASE}))
  (tmp_path / "w.msgpack").write_bytes(serialization.to_bytes({"a": BASE}))
  for source in (FILES / "zip.pth", FILES / "old.pth", *tmp_path.glob("w.*")):
    whole = source.read_bytes()
    for _ in range(150):
      data = bytearray(whole)
      for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
      cut = rng.randint(1, len(data)) if rng.random() < 0.3 else len(data)
      (tmp_path / f"damaged{source.suffix}").write_bytes(data[:cut])
      try:
        formats.read(tmp_path / f"damaged{source.suffix}")
      except WeightsError as error:
        assert "damaged" in str(error)
