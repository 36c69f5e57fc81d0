"""Train, val and test by group, folds and few-shot subsets: whatever comes from one patient stays together."""
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vft.errors import DataError

SPLITS = ("train", "val", "test")


def make_splits(labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray,
                fractions: Sequence[float], seed: int) -> np.ndarray:
  """(N,) of "train", "val", "test" for N clips: whole groups, each class in shares close to `fractions`.

  First each class, the one with fewest groups leading, gets one group per split (train, test, val) as far as they
  reach. Then the groups, largest first, go where the squared distance to the wanted counts shrinks most: the rule of
  scikit-learn's StratifiedGroupKFold, with unequal shares. A share of 0 gets nothing. Deterministic in `seed`.

  >>> labels, patients = ["a", "a", "b", "b"] * 10, [f"p{i // 2}" for i in range(40)]
  >>> splits = make_splits(labels, patients, (0.6, 0.15, 0.25), seed=0)
  >>> {s: int((splits == s).sum()) for s in SPLITS}
  {'train': 24, 'val': 8, 'test': 8}
  """
  return np.array(SPLITS)[_divide(labels, groups, fractions, seed, first=(0, 2, 1))]


def make_folds(labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray, folds: int,
               seed: int) -> np.ndarray:
  """(N,) fold numbers 0 to folds - 1 for N clips, by the rule of `make_splits` with equal shares.

  scikit-learn's class itself refuses labels rarer than the folds, such as combinations of many labels.
  """
  return _divide(labels, groups, [1 / folds] * folds, seed, first=())


def _divide(labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray, shares: Sequence[float], seed: int,
            first: Sequence[int]) -> np.ndarray:
  """(N,) numbers of parts; `first`: the order in which the parts get their first group of each class."""
  _, of_group = np.unique(np.asarray(groups, str), return_inverse=True)
  _, of_class = np.unique(np.asarray(labels, str), return_inverse=True)
  counts = np.zeros((of_group.max() + 1, of_class.max() + 1))  # (groups, classes)
  np.add.at(counts, (of_group, of_class), 1)
  share = np.asarray(shares, float)[:, None]
  want, have = share * counts.sum(0), np.zeros((len(share), counts.shape[1]))
  split = np.full(len(counts), -1)
  order = np.random.default_rng(seed).permutation(len(counts))

  def put(group: int, where: int) -> None:
    split[group] = where
    have[where] += counts[group]

  for where in first:
    for label in np.argsort((counts > 0).sum(0), kind="stable"):
      free = [g for g in order if split[g] < 0 and counts[g, label]]
      if free and share[where, 0] > 0 and not have[where, label]:
        put(free[0], where)
  for group in sorted(order, key=lambda g: -counts[g].sum()):  # stable: equal sizes stay in random order
    if split[group] < 0:
      gain = (((have + counts[group] - want) ** 2 - (have - want) ** 2) / counts.sum(0) ** 2).sum(1)
      gain = np.where(share[:, 0] > 0, gain.round(12), np.inf)
      put(group, int(np.lexsort((have.sum(1), gain))[0]))  # of equal ones the smallest
  return split[of_group]


def choose_shots(labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray, shots: int,
                 seed: int) -> np.ndarray:
  """(N,) bool: `shots` of the N clips of each class, from as many different groups as there are.

  k-shot counts labelled clips, as the few-shot literature does; k clips of one patient would be nearly one, so each
  group of a class gives one clip before any gives a second. A class takes its clips from a seeded list of its own, so
  those of 1 shot are among those of 5, whatever the other classes are. A clip without a label, "", is not chosen.

  Raises DataError where a class has fewer clips.
  """
  labels, groups = np.asarray(labels, str), np.asarray(groups, str)
  chosen, counts = np.zeros(len(labels), bool), {}
  for label in sorted(set(labels.tolist()) - {""}):
    rng = np.random.default_rng([seed, *label.encode()])
    clips = rng.permutation(np.flatnonzero(labels == label))
    turn = pd.Series(groups[clips]).groupby(groups[clips]).cumcount()  # 0 for the first clip of each group
    chosen[clips[np.argsort(turn, kind="stable")][:shots]] = True
    counts[label] = len(clips)
  few = {label: n for label, n in counts.items() if n < shots}
  if few:
    raise DataError(f"config.data.shots asks for {shots} training clips of each class, but there are only "
                    + ", ".join(f"{n} of {label!r}" for label, n in few.items())
                    + f".\nType --config.data.shots={min(few.values())} or less, or add videos.")
  return chosen


def check_splits(table: pd.DataFrame) -> list[str]:
  """Warnings about thin classes. `table` has columns stratum ("" = not known), group, split, one row per usable clip.

  Raises DataError if a group is in two splits, a split is empty or a class has no clip in train.
  """
  shared = table.groupby("group")["split"].nunique()
  shared = shared.index[shared > 1]
  if len(shared):
    counts = table[table.group.isin(shared)].groupby(["group", "split"]).size()
    lines = [f"  {g!r}: " + ", ".join(f"{counts[g, s]} in {s}" for s in SPLITS if (g, s) in counts.index)
             for g in shared[:10]]
    more = f"\n  and {len(shared) - 10} more" if len(shared) > 10 else ""
    raise DataError(f"{len(shared)} patients (groups) stand in more than one split:\n" + "\n".join(lines) + more +
                    "\nExpected each in one split: correct the split column, or leave it out and vft splits by group.")
  empty = [s for s in SPLITS if not (table.split == s).any()]
  if empty:
    sizes = {s: int((table.split == s).sum()) for s in SPLITS}
    raise DataError(f"No clips in {' and '.join(empty)}: {sizes}, {len(table)} clips of {table.group.nunique()} groups "
                    "in all.\nExpected clips in train, val and test: add videos of more patients, or change "
                    "--config.data.split.")
  counts = pd.crosstab(table.stratum, table.split).drop(index="", errors="ignore")
  untaught = [str(c) for c in counts.index[counts["train"] == 0]]
  if untaught:
    raise DataError(f"No clip in train for the classes {untaught}; all their clips are in val or test.\n"
                    "Expected at least one patient of each class in train: add videos, or take the classes out.")
  return [f"class {label!r} has no clip in {split} (train {row.train}, val {row.val}, test {row.test}); "
          f"figures per class leave it out there"
          for label, row in counts.iterrows() for split in SPLITS if not row[split]]


def assign_splits(table: pd.DataFrame, fractions: Sequence[float], seed: int) -> np.ndarray:
  """(N,) split names for the rows of `table`: official ones win, and where val is not official it is cut out of train.

  Raises DataError if some rows have a split and others have none.
  """
  official = table.split.to_numpy(str)
  if (official == "").all():
    return make_splits(table.stratum.to_numpy(str), table.group.to_numpy(str), fractions, seed)
  if (official == "").any():
    raise DataError(f"{(official == '').sum()} of {len(official)} rows have no split, the first of them "
                    f"{table.path[official == ''].iloc[0]!r}; expected train, val or test in all of them, or in none.")
  if "val" in official or "train" not in official:
    return official
  train, val, _ = fractions
  rest = table[official == "train"]
  official[official == "train"] = make_splits(rest.stratum.to_numpy(str), rest.group.to_numpy(str),
                                              (train / (train + val), val / (train + val), 0.0), seed)
  return official
