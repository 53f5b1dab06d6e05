"""The page in a browser, where there is one: its script runs, and nothing is fetched."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ha_stress.report import write
from tests.test_report_story import run_with_a_death

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

#: Points at the middle of the first plot that is shown, then presses an arrow key, and notes what the page says.
_PROBE = """<script>
const plot = [...document.querySelectorAll("svg.plot")].find((one) => one.getBoundingClientRect().width > 0);
const box = plot.getBoundingClientRect();
plot.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top + 50}));
const said = [document.getElementById("tip").innerText];
plot.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
said.push(document.getElementById("tip").innerText);
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.title = JSON.stringify({said, wide, shown: plot.getAttribute("class")});
</script></body>"""


def seen(page: Path, width: int, folder: Path) -> str:
    """The title that the probe has left, in a window of that width."""
    assert BROWSER is not None
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    words += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
@pytest.mark.parametrize(("width", "drawing"), [(1200, "wide"), (500, "narrow")])
def test_values_are_shown_under_the_pointer_and_by_keys_and_nothing_is_too_wide(
    tmp_path: Path, width: int, drawing: str
) -> None:
    (path,) = write(run_with_a_death(), "html", tmp_path / "r.html")
    path.write_text(path.read_text().replace("</body>", _PROBE))
    found = json.loads(html.unescape(seen(path, width, tmp_path)))
    first, second = (re.match(r"(\d+)\.0 to (\d+)\.0 s\s+target\s+\d+\s+sent", said) for said in found["said"])
    assert first is not None
    assert second is not None
    assert second[1] == first[2]  # the arrow key went one second on
    assert found["shown"] == f"plot {drawing}"
    assert found["wide"] == 0
