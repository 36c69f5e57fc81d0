"""matplotlib's figures as SVG inside a page: texts stay texts, colours are those of the page in its light or dark."""
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that stand for variables of the page's style; they occur in no figure by themselves.
TEXT, SOFT, LINE = "#010101", "#010102", "#010103"
CLASSES = tuple(f"#0101{16 + i:02x}" for i in range(8))
_VARIABLES = {TEXT: "--text", SOFT: "--soft", LINE: "--line", **{c: f"--c{i}" for i, c in enumerate(CLASSES)}}
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))  # a line is known by more than its colour
WIDTH = 3.7  # inches: one column of the page, or the width of a phone
_STYLE: Any = {
    "svg.fonttype": "none", "font.size": 8, "text.color": TEXT, "axes.labelcolor": TEXT, "axes.edgecolor": SOFT,
    "axes.titlecolor": TEXT, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT, "axes.titlesize": 8.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.facecolor": "none", "figure.facecolor": "none", "legend.frameon": False, "legend.fontsize": 7.5,
    "grid.color": LINE, "grid.linewidth": 0.6, "lines.linewidth": 1.4, "svg.hashsalt": "vft",
    "axes.titlelocation": "left", "patch.force_edgecolor": False}


def draw(name: str, title: str, paint: Callable[[Axes], None], height: float = 2.7, width: float = WIDTH) -> Markup:
  """One <svg role="img"> that `paint` has drawn, with its title for those who hear it; ids start with `name`."""
  with _styled():
    figure = Figure((width, height), layout="constrained")
    paint(figure.subplots())
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
  return inline(out.getvalue(), name, title)


@contextmanager
def _styled() -> Iterator[None]:
  with rc_context(_STYLE):
    yield


def inline(text: str, name: str, title: str) -> Markup:
  """matplotlib's file -> what stands in a page: no header, style sheet or unused id, few decimals, our colours."""
  body = text[text.index("<svg"):]
  opening, body = body.split(">", 1)
  view = re.search(r'viewBox="[^"]*"', opening)
  assert view
  body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
  used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
  body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
  body = re.sub(r'(href="#|url\(#)([^")]+)', rf"\g<1>{name}-\g<2>", body)
  body = re.sub(r"<[^>]*>", lambda m: _shorter(m[0]), body)  # texts between tags, such as numbers of an axis, stay
  body = re.sub(r"\n\s*", "\n", body)
  # matplotlib escapes the texts it draws, the title is escaped here, `name` is the caller's own.
  return Markup(f'<svg {view[0]} role="img" aria-labelledby="{name}-title" focusable="false">'  # noqa: S704
                f'<title id="{name}-title">{escape(title)}</title>{body}')


def _shorter(tag: str) -> str:
  """A tag whose places have two decimals and whose colours are those of the page."""
  tag = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), tag)
  for colour, variable in _VARIABLES.items():
    tag = tag.replace(colour, f"var({variable})")
  return re.sub(r"font: ([^;\"]*?)([\d.]+)px [^;\"]*", r"font-size: \2px", tag)
