import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from vft.data.splits import assign_splits, check_splits, choose_shots, make_folds, make_splits
from vft.errors import DataError

SHARES = (0.6, 0.15, 0.25)


def patients(count=120, clips=3, classes=3, seed=0):
  rng = np.random.default_rng(seed)
  groups = np.repeat([f"p{i:03d}" for i in range(count)], clips)
  return rng.choice([f"c{k}" for k in range(classes)], count).repeat(clips), groups


def table(rows):
  return pd.DataFrame(rows, columns=["group", "stratum", "split"]).assign(path="x.mp4")


def test_a_group_is_never_divided():
  labels, groups = patients()
  split = make_splits(labels, groups, SHARES, 0)
  assert pd.Series(split).groupby(groups).nunique().max() == 1


def test_shares_are_close_in_all_and_in_each_class():
  labels, groups = patients()
  split = make_splits(labels, groups, SHARES, 0)
  for label in np.unique(labels):
    for name, share in zip(("train", "val", "test"), SHARES, strict=True):
      assert np.mean(split[labels == label] == name) == pytest.approx(share, abs=0.04)


def test_large_patients_do_not_bend_the_shares():
  rng = np.random.default_rng(0)
  groups = np.repeat(np.arange(60), rng.permutation([2] * 50 + [40] * 10))
  sizes = [np.mean(make_splits(groups % 2, groups, SHARES, seed) == "train") for seed in range(20)]
  assert sizes == pytest.approx([0.6] * 20, abs=0.04)


def test_the_seed_decides_and_nothing_else():
  labels, groups = patients()
  assert (make_splits(labels, groups, SHARES, 1) == make_splits(labels, groups, SHARES, 1)).all()
  assert (make_splits(labels, groups, SHARES, 1) != make_splits(labels, groups, SHARES, 2)).any()


def test_three_patients_a_class_are_enough_for_all_splits():
  split = make_splits(np.repeat(["a", "b"], 6), np.repeat(list("123456"), 2), SHARES, 0)
  assert sorted(split) == ["test"] * 4 + ["train"] * 4 + ["val"] * 4


def test_a_class_of_one_patient_is_in_train():
  labels, groups = patients()
  split = make_splits([*labels, "rare"], [*groups, "p999"], SHARES, 0)
  assert split[-1] == "train"


@pytest.mark.fault("F20", "patient in train and test", 'exit 3: "\'anna\': 1 in train, 2 in test"')
def test_a_patient_in_two_splits_is_named_with_counts():
  rows = [("anna", "a", "train"), ("anna", "a", "test"), ("anna", "a", "test"), ("ben", "a", "val")]
  with pytest.raises(DataError, match=r"1 patients.*\n  'anna': 1 in train, 2 in test"):
    check_splits(table(rows))


@pytest.mark.fault("F26", "empty split", "exit 3 with the counts")
def test_an_empty_split_is_an_error():
  with pytest.raises(DataError, match=r"No clips in val: \{'train': 1, 'val': 0, 'test': 1\}"):
    check_splits(table([("1", "a", "train"), ("2", "a", "test")]))


@pytest.mark.fault("F23", "class without training clips", "exit 3, class named")
def test_a_class_without_training_clips_is_an_error():
  with pytest.raises(DataError, match=r"No clip in train for the classes \['b'\]"):
    check_splits(table([("1", "a", "train"), ("2", "a", "val"), ("3", "b", "test")]))


def test_clips_without_this_label_are_no_class():
  assert check_splits(table([("1", "a", "train"), ("2", "a", "val"), ("3", "a", "test"), ("4", "", "test")])) == []


@pytest.mark.fault("F23", "class missing in test", "warning with its counts")
def test_a_class_missing_in_test_is_a_warning():
  (warning,) = check_splits(table([("1", "a", "train"), ("2", "b", "train"), ("3", "a", "val"), ("4", "b", "val"),
                                   ("5", "a", "test")]))
  assert warning.startswith("class 'b' has no clip in test (train 1, val 1, test 0)")


def test_official_splits_win_and_a_missing_val_is_cut_out_of_train():
  labels, groups = patients()
  official = np.where(groups < "p090", "train", "test")
  split = assign_splits(pd.DataFrame(dict(stratum=labels, group=groups, split=official, path="x")), SHARES, 0)
  assert ((split == "test") == (official == "test")).all()
  assert np.mean(split == "val") == pytest.approx(0.75 * 0.2, abs=0.02)


def test_half_official_splits_are_an_error():
  with pytest.raises(DataError, match="1 of 2 rows have no split"):
    assign_splits(table([("1", "a", "train"), ("2", "a", "")]), SHARES, 0)


def test_folds_keep_groups_whole_and_are_as_even_as_those_of_scikit_learn():
  labels, groups = patients(count=43)
  fold = make_folds(labels, groups, 5, 0)
  assert set(fold) == set(range(5)) and pd.Series(fold).groupby(groups).nunique().max() == 1
  theirs = np.zeros(len(labels), int)
  for i, (_, test) in enumerate(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)):
    theirs[test] = i
  spread, reference = (pd.crosstab(f, labels).to_numpy().std(axis=0).max() for f in (fold, theirs))
  assert spread <= reference
  assert (fold == make_folds(labels, groups, 5, 0)).all() and (fold != make_folds(labels, groups, 5, 1)).any()


def test_labels_rarer_than_the_folds_are_divided_all_the_same():
  fold = make_folds([f"combination{i}" for i in range(6)], list("abcdef"), 3, 0)
  assert np.bincount(fold).tolist() == [2, 2, 2]


def test_shots_are_of_as_many_patients_as_there_are():
  labels, groups = np.repeat(["a", "b"], [12, 5]), np.array([*"111111112222", *"34444"])
  chosen = choose_shots(labels, groups, 3, 0)
  assert np.bincount(chosen & (labels == "a"))[1] == np.bincount(chosen & (labels == "b"))[1] == 3
  assert set(groups[chosen]) == set("1234")


def test_fewer_shots_are_among_more_and_the_seed_draws_others():
  labels, groups = patients(count=40)
  few, more = (choose_shots(labels, groups, k, 3) for k in (1, 5))
  assert few.sum() == 3 and more.sum() == 15 and more[few].all()
  assert len({tuple(np.flatnonzero(choose_shots(labels, groups, 1, seed))) for seed in range(5)}) == 5
  assert len(set(groups[more])) == 15


def test_a_class_with_too_few_clips_for_the_shots_is_named_with_its_count():
  with pytest.raises(DataError, match=r"asks for 3 training clips of each class, .* only 2 of 'b'.\n.*shots=2"):
    choose_shots([*"aaabb", ""], list("123456"), 3, 0)
