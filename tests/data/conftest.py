import pytest

from tests import layouts


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
  """name of a layout -> the folder of its tiny tree, written once: for reading only."""
  made, modules = {}, layouts.modules()

  def tree(name):
    if name not in made:
      made[name] = tmp_path_factory.mktemp(name) / "data set"
      modules[name].make(made[name])
    return made[name]
  return tree
