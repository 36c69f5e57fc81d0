"""Head, colours and body of every page that vft writes: a file without scripts or requests, light, dark and printed."""
import jinja2


def environment(package: str) -> jinja2.Environment:
  """Templates of a package, which may extend pages/base.html; whatever comes from the data set is escaped."""
  return jinja2.Environment(
      loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, "."),
                                  jinja2.PrefixLoader({"pages": jinja2.PackageLoader("vft.pages", ".")})]),
      autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
