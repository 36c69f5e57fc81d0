"""vft features: one pass of the frozen trunk over every clip before a run, as a whole or in shares; the run finds them.

What is kept is known by its content (vft/features.py), so that shares need not be put together: only counts are.
"""
from functools import partial
from pathlib import Path
from typing import Any

import filelock
from ml_collections import ConfigDict

from vft import batches, features, run, sequences, sharding, shards, stages, startup
from vft import config as configs
from vft import mirror as mirrors
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import sequences as whole
from vft.data import skipped
from vft.errors import ConfigError
from vft.hooks import Stop, Tick
from vft.writer import Writer

FOLDER = ".shards"  # in the workdir


def keep(config: ConfigDict, folder: Path, stop: Stop = lambda: None, shard: shards.Shard | None = None) -> None:
  """Fills the cache that the same config trains on, and writes features.json to `folder`, which may be the run's.

  Raises ConfigError where the run would not use it; DataError where too many clips cannot be decoded.
  """
  run.check(config)
  if config.data.folds:
    raise ConfigError(f"config.data.folds is {config.data.folds}: the folds share their features; type "
                      "--config.data.folds=0 and another --workdir, and then train with folds.")
  if shard and mirrors.is_mirror(folder):
    raise ConfigError("Shares of one work need a folder that all of them see, and a bucket has no locks: give a local "
                      "or shared --workdir.")
  shard = shard or shards.Shard(0, 1)
  if shard.count > 1:
    _keep(config, folder, stop, shard)
    return
  with workdirs.locked(folder):
    _keep(config, folder, stop, shard)


def _keep(config: ConfigDict, folder: Path, stop: Stop, shard: shards.Shard) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(folder / f"{FOLDER}.lock"):  # the first share lists and probes all files, the others wait
    workdirs.settle_config(folder, config)
    manifest = whole.make(workdirs.load_manifest(config, folder), config)
  parts = shards.Parts(folder / FOLDER, shard, ["features", configs.to_json(config), manifest.sha256])
  work = partial(_share, config, manifest, folder, stop, shard)
  if shard.count > 1:
    shards.run(parts, work)
  else:  # whatever was done before: the cache may have been removed
    parts.write(work())
  with parts.merged() as found:
    workdirs.write_json(folder / "features.json", {k: sum(f["counts"][k] for f in found) for k in found[0]["counts"]})
    failed = {row for f in found for row in f["failed"]}
    count = skipped.write_skipped(manifest.shown, failed, folder / "skipped.csv", config)
    print(f"{sum(f['counts']['clips'] for f in found)} clips are kept, {count} could not be used: "
          f"{folder / 'features.json'}")


def _share(config: ConfigDict, manifest: manifests.Manifest, folder: Path, stop: Stop,
           shard: shards.Shard) -> dict[str, Any]:
  """Features of the rows of a share; counts, and rows that failed."""
  mesh = sharding.make_mesh(config.mesh.fsdp)
  begin = startup.start(config, manifest.tasks, partial(batches.startup_clips, config, manifest))
  first = stages.make(config, begin.model, begin.params, begin.batch_stats, max(1, config.train.epochs))[0]
  if isinstance(manifest, whole.Sequences):
    sequences.check(config, first.blocks)
  if first.blocks or not config.features.cache:
    raise ConfigError(f"This config trains {', '.join(first.blocks) or 'without kept features'} from the first step on "
                      f"(config.features.cache is {config.features.cache}): there is nothing to keep.\nFreeze the "
                      "trunk, or keep decoded clips by --config.data.cache=True.")
  with Writer(folder / FOLDER, tensorboard=False, progress=config.log.progress) as writer:
    seen, unseen = batches.compute_features(config, manifest, begin.model, begin.params, begin.batch_stats,
                                            folder / FOLDER, mesh, partial(Tick, writer, stop), shard.share)
  return {"counts": features.summary(seen, unseen), "failed": sorted(map(int, seen.failed | unseen.failed))}
