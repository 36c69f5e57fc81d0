"""From a finished run to its page: everything that the template shows, in the template's order."""
import statistics
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from vft import config as configs
from vft import pages, tables
from vft.convert import registry
from vft.progress import duration
from vft.report import clips, figures, flops, numbers, plots
from vft.report.folder import Folder


def render(**context: Any) -> str:
  """The page as text; whatever comes from the data is escaped."""
  environment = pages.environment("vft.report")
  environment.filters.update(interval=numbers.interval, number=tables.number, duration=duration,
                             words=lambda name: name.replace("_", " "))
  return environment.get_template("page.html").render(**context)


def of_run(run: Folder) -> str:
  """The report of one run."""
  data, cost = run.result["data"], run.result["cost"]
  parts = [figures.of_task(run, task, i) for i, task in enumerate(run.tasks)]
  galleries = clips.galleries(run)
  return render(
      title=f"Report: {run.name}", runs=None, run=run, data=data, simulated=data["simulated"],
      limits=run.settings.limits, levels=run.levels, digits=2,
      headline=tables.headline(data), cards=_cards(run), verdicts=verdicts(run), classes=_class_counts(run),
      skipped=run.skipped(), params=_params(run), weights=_weights(run), curves=_curves(run), parts=parts,
      every=_every_figure(run), controls=_controls(run), conformal=_conformal(run), galleries=galleries,
      pictures=any(e.moving for gallery in galleries for e in gallery.errors),
      cost=cost, causes=_causes(cost), facts=_cost_facts(run), environment=run.read_json("env.json"),
      config=configs.to_json(run.config))


def _cards(run: Folder) -> list[tuple[str, str, str]]:
  """(words, value, interval) of the first figures, at the last level."""
  said = run.result["test"][run.levels[-1]] if run.levels else {}
  found = [(words, said[key]) for key, words in tables.headline(run.result["data"], 3).items() if key in said]
  return [(words, tables.number(f["value"], 2),
           "" if f["low"] is None else f"{tables.number(f['low'], 2)} to {tables.number(f['high'], 2)}")
          for words, f in found[:6]]


def verdicts(run: Folder) -> list[tuple[bool, str]]:
  """(is it good, sentence) for every control, at the last level; one sentence where there is none."""
  out, names = [], tables.headline(run.result["data"], 3)
  for control, entry in run.result.get("controls", {}).items():
    level, said = run.levels[-1], f"the control “{control.replace('_', ' ')}”"
    gains = {k: tables.difference(entry, level).get(k) for k in names}
    weak = [names[k] for k, gain in gains.items() if tables.is_weak(k, gain)]
    known = [k for k, gain in gains.items() if gain and gain.get("low") is not None]
    if not known:
      out.append((False, f"Whether the model beats {said} cannot be said."))
    elif weak:
      out.append((False, f"Not shown to beat {said} per {level} in {', '.join(weak)}."))
    else:
      out.append((True, f"Better than {said} per {level} in {', '.join(names[k] for k in known)}."))
  return out or [(False, "No control was run: what these figures have to beat is not known.")]


def _class_counts(run: Folder) -> list[tuple[str, list[str], list[tuple[str, list[int]]]]]:
  """(task, splits, (class, rows of each split)); of numbers the rows that have one."""
  table = run.manifest.table[run.manifest.table.status == "ok"]
  splits, out = list(run.result["data"]["clips"]), []
  for task in run.tasks:
    cells = {s: table[task.name][table.split == s] for s in splits}
    if task.kind == "regression":
      rows = [("with a number", [int((cells[s] != "").sum()) for s in splits])]
    elif task.kind == "multi":
      rows = [(c, [sum(c in cell.split("|") for cell in cells[s]) for s in splits]) for c in task.classes]
    else:
      rows = [(c, [int((cells[s] == c).sum()) for s in splits]) for c in task.classes]
    out.append((task.name, splits, rows))
  return out


def _params(run: Folder) -> str:
  """params.txt, without its heading."""
  path = run.parts[0] / "params.txt"
  lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
  return "\n".join(lines[1:] if lines and lines[0].startswith("What trains") else lines).strip("\n")


def _weights(run: Folder) -> dict[str, Any]:
  """Where the first values came from: name, licence, sha256 and how many arrays."""
  name, report = run.config.init.weights, run.read_json("weights.json")
  entry = registry.get(name) if name else None
  return {"name": name or "none: random values", "licence": (entry.licence or "not known") if entry else
          ("not known: a file of your own" if name else "none needed"), "published": entry.published if entry else "",
          "sha256": report.get("sha256") or "", "loaded": len(report.get("loaded", ())),
          "resized": len(report.get("resized", ())), "initial": len(report.get("left_at_init", ()))}


def _curves(run: Folder) -> list[tuple[str, Markup]]:
  """Of the first three folds, or the run: loss, and what was selected by."""
  out, select = [], run.config.train.select
  many = len(run.parts) > 1
  for i, part in enumerate(run.parts[:3]):
    lines = run.metrics(part)
    best = run.result["cost"].get("best_step") if not many else None
    shown = [("loss", "loss"), *((key, key.replace("/", " ")) for key in (
        [select] if select != "loss" else list(tables.headline(run.result["data"], 1))[:1]))]
    for j, (key, label) in enumerate(shown):
      made = plots.curves(f"curve{i}-{j}", lines, key, label, best)
      if made:
        out.append((f"{label}, fold {i + 1}" if many else label, made))
  return out


def _every_figure(run: Folder) -> list[tuple[str, list[tuple[str, list[str]]]]]:
  """(level, rows of (metric, [test, after calibration, validation]))."""
  parts = [run.result.get(k, {}) for k in ("test", "test_calibrated", "val")]
  return [(level, [(key, [numbers.interval(p.get(level, {}).get(key), 3) for p in parts])
                   for key in run.result["test"][level]]) for level in run.levels]


def _controls(run: Folder) -> dict[str, Any] | None:
  """Rows of the table of controls and a figure for the first metric, at the last level."""
  found = run.result.get("controls") or {}
  if not found or not run.levels:
    return None
  level, names = run.levels[-1], tables.headline(run.result["data"], 3)
  rows = [(control, [(names[k], numbers.interval((entry.get(level) or {}).get(k), 2),
                      numbers.interval(tables.difference(entry, level).get(k), 2, sign="+")) for k in names])
          for control, entry in found.items()]
  key = next(iter(names))
  values = [(run.name, run.result["test"][level].get(key, {})),
            *((c.replace("_", " "), (e.get(level) or {}).get(key) or {}) for c, e in found.items())]
  forest = plots.forest("controls", values, f"{names[key]} per {level}")
  return {"level": level, "rows": rows, "forest": forest}


def _conformal(run: Folder) -> list[tuple[str, str, list[str]]]:
  """(coverage asked for, of what, [patients of validation, coverage on test, size on test]), at the last level."""
  out = []
  for share, of_task in (run.result.get("conformal") or {}).items():
    for task, of_level in of_task.items():
      entry = of_level.get(run.levels[-1])
      if entry and entry["test"]:
        test = entry["test"]
        out.append((f"{100 * float(share):g} %", task, [str(entry["patients"]), numbers.interval(test["coverage"], 2),
                                                  numbers.interval(test["size"], 2)]))
  return out


def _causes(cost: Mapping[str, Any]) -> list[tuple[str, float, float]]:
  """(cause, seconds, share of all), most first."""
  causes = dict(cost.get("by_cause", {}))
  total = max(cost.get("total_s") or 0, sum(causes.values()), 1e-9)
  causes["other"] = total - sum(causes.values())
  return sorted(((k, v, v / total) for k, v in causes.items() if v >= 0.5 or k != "other"), key=lambda c: -c[1])


def _cost_facts(run: Folder) -> list[tuple[str, str]]:
  """What is known of cost, in words."""
  cost = run.result["cost"]
  rates = [r["clips_per_s"] for part in run.parts for r in run.metrics(part) if r.get("clips_per_s")]
  kept = " (the head, on kept features)" if (run.path / "features.json").is_file() else ""
  gflop = flops.clip_gflop(run.config, run.tasks)
  views = run.config.eval.views * run.config.eval.crops
  step = cost.get("step_memory_gib")
  best = f", the best of them {cost['best_step']:,}" if "best_step" in cost else ""
  whole = cost.get("goodput") or {}
  useful = f"{100 * whole['goodput']:.0f} % of {duration(whole['total_s'])} since the first start" if whole else ""
  found = [("Wall clock", duration(cost["total_s"])), ("Starts", str(whole.get("starts", ""))),
           ("Useful time", useful), ("Peak memory", f"{cost['peak_memory_gib']:.1f} GiB"),
           ("Forecast of a training step", f"{step:.2g} GiB" if step else ""),
           ("Training steps", f"{cost['steps']:,}{best}"),
           ("Stopped early after step", str(cost.get("stopped_early_at") or "")),
           ("Training rate, median", f"{numbers.rate(statistics.median(rates))} clips/s{kept}" if rates else ""),
           ("Forward pass", f"{gflop:,.3g} GFLOPs per clip" + (f", {views} of them per video" if views > 1 else "")
            if gflop else ""),
           ("Trained parameters", f"{cost['trained_parameters']:,}")]
  return [(k, v) for k, v in found if v]
