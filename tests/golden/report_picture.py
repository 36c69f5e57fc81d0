"""What the README shows of a report: its beginning, and beside it confusions and errors -> report.png.

  python -m tests.golden.report_picture runs/medical/report.html
"""
import io
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

OUT = Path(__file__).with_name("report.png")
WIDTH, GAP, COLOURS, MOST = 700, 24, 128, 150_000
# Ends of the first part, start and end of the second, of the third: selectors, and which one of what they find.
EDGES = (("#controls .scroll", 0), ("#classes", 0), ("#classes .plots", 0), ("#errors", 0), ("#errors h3", 1))


def write(report: Path) -> None:
  """Two columns of the page, each WIDTH wide; at most MOST bytes."""
  with sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light", reduced_motion="reduce")
    page.goto(report.resolve().as_uri())
    whole = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB"))
    edges = [page.locator(place).nth(number).evaluate("e => e.getBoundingClientRect().y") for place, number in EDGES]
    browser.close()
  first, second, third = (whole[int(a):int(b)] for a, b in zip([0, *edges[1::2]], edges[::2], strict=True))
  columns = first, np.concatenate([second, third])
  sheet = np.full((max(map(len, columns)), 2 * WIDTH + GAP, 3), 255, np.uint8)
  for place, column in enumerate(columns):
    sheet[:len(column), place * (WIDTH + GAP):][:, :WIDTH] = column
  Image.fromarray(sheet).quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(OUT, optimize=True)
  if OUT.stat().st_size > MOST:
    raise SystemExit(f"{OUT} has {OUT.stat().st_size} bytes; expected at most {MOST}: lower COLOURS.")


if __name__ == "__main__":
  write(Path(sys.argv[1]))
