"""report.html in a real browser: whole, silent, readable in every light, by keyboard and by ear."""
import json
import shutil
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.report.conftest import HOSTILE
from vft import cli, report
from vft import workdir as workdirs
from vft.report import command, folder, page

SIZES = {"phone": dict(width=360, height=740), "desktop": dict(width=1280, height=900)}
FOCUSABLE = "a[href], summary, [tabindex='0']"


@pytest.fixture
def see(browser):
  """see(file, scheme=..., size=...) -> the page in a browser; at the end: no message, no request but for the file."""
  pages = []

  def open_page(path, scheme="light", size="desktop", **options):
    context = browser.new_context(color_scheme=scheme, viewport=SIZES[size], **options)
    context.set_default_timeout(180_000)  # ms; other tests share the cores
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    pages.append((context, path, said, asked))
    return tab
  yield open_page
  for context, path, said, asked in pages:
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


@pytest.fixture(scope="session", autouse=True)
def written(two_runs, tasks_run):
  """report.html in each of the folders."""
  for path in (*two_runs, tasks_run):
    report.at_the_end(workdirs.load_config(path), path)
    assert (path / "report.html").is_file()


@pytest.fixture(scope="session")
def comparison(two_runs):
  """The file that `vft report ONE TWO` writes."""
  path = two_runs[0].parent / "comparison.html"
  command.report([str(p) for p in two_runs], str(path))
  return path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_those_who_see_or_hear_it_otherwise(see, two_runs, tasks_run, comparison, scheme, size):
  for path in (two_runs[0] / "report.html", tasks_run / "report.html", comparison):
    tab = see(path, scheme, size, bypass_csp=True)
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    assert tab.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"


def test_every_picture_is_there_moves_and_says_what_it_is(see, two_runs):
  tab = see(two_runs[0] / "report.html")
  pictures = tab.evaluate("""() => Promise.all([...document.images].map(async i => {
    await i.decode(); return [i.naturalWidth, i.naturalHeight, i.alt, i.currentSrc.slice(0, 23)] }))""")
  assert 1 <= len(pictures) <= 4
  for width, height, alt, start in pictures:
    assert (width, height) == (64, 64) and alt.startswith("Clip p") and start == "data:image/webp;base64,"
    assert "labelled" in alt and "predicted" in alt
  drawn = tab.evaluate("""[...document.querySelectorAll("svg")].map(s => [s.getAttribute("role"),
    s.getBBox().width > 50, document.getElementById(s.getAttribute("aria-labelledby")).textContent.length > 10])""")
  assert len(drawn) >= 7 and all(one == ["img", True, True] for one in drawn)


def test_those_who_asked_for_less_motion_see_a_still_picture(see, two_runs):
  sources = [see(two_runs[0] / "report.html", reduced_motion=how).evaluate("document.images[0].currentSrc")
             for how in ("no-preference", "reduce")]
  assert len(sources[0]) > 2 * len(sources[1]) > 200


def test_names_from_the_data_are_text_and_nothing_else(see, two_runs):
  tab = see(two_runs[0] / "report.html")
  assert tab.evaluate("document.querySelectorAll('script, iframe, object, [onerror]').length") == 0
  matrix = tab.locator("table.matrix").inner_text()
  for name in HOSTILE.values():
    assert name.replace("_", " ") in matrix


def test_the_keyboard_goes_through_the_page_in_its_order_and_is_seen(see, two_runs):
  tab = see(two_runs[0] / "report.html", "light", "phone", reduced_motion="reduce")  # smooth scrolling takes a while
  wanted = tab.evaluate(f"[...document.querySelectorAll(`{FOCUSABLE}`)].filter(e => e.checkVisibility()).length")
  tab.evaluate(f"[...document.querySelectorAll(`{FOCUSABLE}`)].filter(e => e.checkVisibility())"
               ".forEach((e, i) => e.dataset.place = i)")
  places = []
  for _ in range(wanted):
    tab.keyboard.press("Tab")
    place, shown, width = tab.evaluate("""() => { const e = document.activeElement, b = e.getBoundingClientRect();
      return [e.dataset.place, b.width > 0 && b.bottom > 0 && b.top < innerHeight && b.left >= 0,
              getComputedStyle(e).outlineWidth] }""")
    places.append(int(place))
    assert shown and width == "3px", place
  assert places == list(range(wanted)) and wanted > 10


def test_dark_and_print_have_colours_of_their_own_texts_of_figures_too(see, two_runs):
  def brightness(tab, what, field):
    rgb = tab.evaluate(f"getComputedStyle(document.querySelector(`{what}`)).{field}.match(/[0-9.]+/g).map(Number)")
    return sum(rgb[:3]) / 3
  tab = see(two_runs[0] / "report.html", "dark")
  assert brightness(tab, "body", "backgroundColor") < 50
  for what, field in (("body", "color"), ("svg text", "fill"), ("svg text ~ text, svg g text", "fill")):
    assert brightness(tab, what, field) > 150
  tab.emulate_media(media="print")
  assert brightness(tab, "body", "backgroundColor") == 255
  assert brightness(tab, "svg text", "fill") < 80
  assert tab.pdf(format="A4").startswith(b"%PDF-") and not tab.locator("nav").is_visible()


def test_it_shows_what_the_result_holds(see, two_runs):
  tab, result = see(two_runs[0] / "report.html"), json.loads((two_runs[0] / "result.json").read_text())
  text = tab.locator("body").inner_text().replace("\u00a0", " ")
  accuracy = result["test"]["patient"]["accuracy"]
  assert f"{accuracy['value']:.2f} [{accuracy['low']:.2f}, {accuracy['high']:.2f}]" in text
  for words in ("Not for clinical decisions.", "Controls", "majority", "ROC", "Reliability", "What trained", "head",
                "GFLOPs per clip", "clips/s", "Peak memory", "Manifest", "trunk.safetensors", "numpy",
                "Conformal sets"):
    assert words in text, words
  found = result["conformal"]["0.8"]["label"]["patient"]["test"]["coverage"]
  (row,) = tab.locator("table:has(caption:text('Coverage asked for')) tbody tr").all_inner_texts()
  assert row.split("\t")[0] == "80 %" and row.split("\t")[2].startswith(f"{found['value']:.2f}")
  weights = (tab.locator("#cost").inner_text()).split("\n")
  assert any("Wall clock" in line for line in weights)


def test_each_kind_of_task_has_its_figures_and_what_was_skipped_its_cause(see, tasks_run):
  tab = see(tasks_run / "report.html")
  text = tab.locator("body").inner_text()
  for words in ("Only for <tests>.", "speed (single)", "ef (regression)", "grade (ordinal)", "tags (multi)",
                "Bland-Altman", "1 × ", "Largest errors"):
    assert words in text, words
  assert "Not for clinical decisions" not in text
  heads = tab.locator("figcaption strong").all_inner_texts()
  assert heads.count("Reliability") == 3 and heads.count("Bland-Altman") == 1 and heads.count("ROC") >= 2


def test_a_comparison_has_both_runs_their_difference_and_what_was_changed(see, comparison):
  text = see(comparison).locator("body").inner_text()
  for words in ("Comparison of 2 runs", "two minus one", "groups.head.lr", "0.01", "0.0001", "wall clock"):
    assert words in text, words
  assert "cannot be compared" not in text


def test_runs_of_other_splits_are_not_compared(see, two_runs, tasks_run, tmp_path):
  command.report([str(two_runs[0]), str(tasks_run)], str(tmp_path / "c.html"))
  text = see(tmp_path / "c.html").locator("body").inner_text()
  assert "Not all runs were tested on the same split" in text and "No other run has the same split" in text


def test_the_page_is_small_and_comes_without_the_videos(two_runs, tmp_path):
  assert (two_runs[0] / "report.html").stat().st_size < 600_000
  moved = tmp_path / "moved"
  shutil.copytree(two_runs[1], moved)
  config = workdirs.load_config(moved)
  with config.unlocked():
    config.data.source = f"csv:{tmp_path}/gone.csv"
  workdirs.write_config(moved / "config.json", config)
  html = command.write(moved).read_text()
  assert "The videos were not at hand" in html and "<img" not in html and "ROC" in html


def test_without_clips_no_pixel_of_a_video_is_in_the_page(two_runs):
  run = folder.load(two_runs[0])
  with run.config.unlocked():
    run.config.report.clips = 0
  assert "image/webp" not in page.of_run(run)


def test_a_fault_of_the_report_fails_no_run_and_says_what_to_type(two_runs, tmp_path, caplog):
  config = workdirs.load_config(two_runs[0])
  report.at_the_end(config, tmp_path)  # holds no run
  (record,) = caplog.records
  assert "report.html could not be written (ConfigError" in record.getMessage()
  assert f"vft report {tmp_path}" in record.getMessage()


def test_vft_report_writes_again_and_names_the_file(two_runs, monkeypatch, capsys, tmp_path):
  (two_runs[1] / "report.html").unlink()
  monkeypatch.setattr(sys, "argv", ["vft", "report", str(two_runs[1])])
  assert cli.main() == 0
  assert capsys.readouterr().out.strip() == str(two_runs[1] / "report.html")
  assert (two_runs[1] / "report.html").is_file()
  monkeypatch.setattr(sys, "argv", ["vft", "report", str(tmp_path)])
  assert cli.main() == 2
  assert "is not the folder of a run" in capsys.readouterr().err


def test_clips_are_square_and_on_a_phone_the_controls_need_no_sideways_scrolling(see, two_runs):
  for size in SIZES:
    tab = see(two_runs[0] / "report.html", size=size)
    boxes = [image.bounding_box() for image in tab.locator(".clips img").all()]
    assert boxes and all(abs(box["width"] - box["height"]) < 1 for box in boxes)
    inner, outer = tab.locator("#controls .scroll").first.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert inner <= outer
