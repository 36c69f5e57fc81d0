"""Several runs side by side: their figures, what differs in their configs, and paired differences on the same split."""
from collections.abc import Sequence
from typing import Any

from vft import config as configs
from vft import evaluate, tables
from vft.report import numbers, page, plots
from vft.report.folder import Folder


def of_runs(runs: Sequence[Folder]) -> str:
  """The page; differences are those of each run from the first, where both were tested on the same manifest."""
  first, names = runs[0], _names(runs)
  same = [run.result["data"]["sha256"] == first.result["data"]["sha256"] for run in runs]
  headline = {k: v for run in runs for k, v in tables.headline(run.result["data"]).items()}
  levels = [level for level in tables.LEVELS if any(level in run.levels for run in runs)]
  return page.render(
      title=f"Comparison of {len(runs)} runs", runs=list(zip(names, runs, strict=True)),
      others=[n for n, ok in zip(names, same, strict=True) if not ok],
      simulated=any(run.result["data"]["simulated"] for run in runs),
      limits=" ".join(dict.fromkeys(run.settings.limits for run in runs)),
      tables=[(level, _rows(runs, level, headline)) for level in levels], forests=_forests(runs, names, levels[-1]),
      differences=_differences(runs, names, same), changed=_changed(runs))


def _names(runs: Sequence[Folder]) -> list[str]:
  """Names of the folders, with those above them where they are not enough."""
  names = [run.name for run in runs]
  return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _rows(runs: Sequence[Folder], level: str, headline: dict[str, str]) -> list[tuple[str, list[str]]]:
  found = [run.result["test"].get(level, {}) for run in runs]
  return [(words, [numbers.interval(f.get(key), 2) for f in found]) for key, words in headline.items()
          if any(key in f for f in found)]


def _forests(runs: Sequence[Folder], names: Sequence[str], level: str) -> list[tuple[str, Any]]:
  """Of the first figure of each task."""
  headline = {k: v for run in runs for k, v in tables.headline(run.result["data"], 1).items()}
  return [(words, plots.forest(f"forest{i}", [(n, run.result["test"].get(level, {}).get(key, {}))
                                             for n, run in zip(names, runs, strict=True)], f"{words} per {level}"))
          for i, (key, words) in enumerate(headline.items())]


def _differences(runs: Sequence[Folder], names: Sequence[str],
                 same: Sequence[bool]) -> list[tuple[str, str, list[tuple[str, str]]]]:
  """(run, level, (figure, difference from the first run))."""
  first, out = runs[0], []
  for name, run, paired in list(zip(names, runs, same, strict=True))[1:]:
    if paired and run.tasks == first.tasks:
      found = evaluate.differences(run.test, first.test, first.manifest, first.config)
      level, headline = list(found)[-1], tables.headline(first.result["data"], 3)
      out.append((name, level, [(words, numbers.interval(found[level][key], 2, sign="+"))
                                for key, words in headline.items() if key in found[level]]))
  return out


def _changed(runs: Sequence[Folder]) -> list[tuple[str, list[str]]]:
  """(field, its value in each run) of the fields that are not the same everywhere and move a figure."""
  flat = [configs.fields(configs.from_json(configs.to_json(run.config))) for run in runs]
  names = sorted({line.partition(":")[0] for run in runs[1:]
                  for line in configs.difference(runs[0].config, run.config)})
  return [(name, [str(f.get(name, "–")) for f in flat]) for name in names]
