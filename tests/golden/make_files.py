"""Checkpoints as torch writes them, in both layouts: tests/golden/files/{zip,old}.pth. Needs torch (made with 2.14.1).

  python -m tests.golden.make_files
"""
import argparse
from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).parent / "files"


def make_checkpoint() -> dict[str, object]:
  """What training scripts save: the arrays of `tests.convert.test_formats.EXPECTED` among other things."""
  base = torch.arange(24, dtype=torch.float32)
  net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
  for i, p in enumerate(net.parameters()):
    p.data = (torch.arange(p.numel(), dtype=torch.float32) + i).reshape(p.shape)
  optimizer = torch.optim.Adam(net.parameters())
  net(torch.ones(4, 3)).sum().backward()
  optimizer.step()
  for i, p in enumerate(net.parameters()):
    p.data = (torch.arange(p.numel(), dtype=torch.float32) + i).reshape(p.shape)
  state = net.state_dict()  # an OrderedDict with an attribute `_metadata`
  state["1.running_mean"], state["1.running_var"] = torch.zeros(2), torch.ones(2)
  state["view"] = base[4:16].reshape(3, 4).t()  # part of a storage, by columns
  state["tied"] = base[4:16].reshape(3, 4)
  state["half"] = torch.tensor([0.5, -2.0], dtype=torch.float16)
  state["brain"] = torch.tensor([1.5, -3.0], dtype=torch.bfloat16)
  state["scalar"] = torch.tensor(7.0)
  state["empty"] = torch.zeros(0, 3)
  state["parameter"] = nn.Parameter(torch.ones(2, 1))
  return {"epoch": 3, "arch": "net", "best": 0.5, "state_dict": state, "optimizer": optimizer.state_dict(),
          "args": argparse.Namespace(lr=1e-3, sizes=[1, 2], device=torch.device("cpu"))}


if __name__ == "__main__":
  FOLDER.mkdir(exist_ok=True)
  torch.save(make_checkpoint(), FOLDER / "zip.pth")
  torch.save(make_checkpoint(), FOLDER / "old.pth", _use_new_zipfile_serialization=False)
