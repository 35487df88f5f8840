"""Files of the attribution page: every reading is in the table, and hostile text stays text in all of them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np

from core.attribution.values import Gradients, GradientSpec, TargetText
from tests.browser.strip_app import HOSTILE
from tests.stored_values import attribution
from ui.attribution.catalogue import BY_KEY, METHODS
from ui.attribution.export import csv_of, note_of, picture
from ui.attribution.methods import Readings
from ui.attribution.pinned import Marks
from ui.components.offline_page import script_safe
from ui.components.strip_export import strip_html
from ui.components.token_strip import Row, Strip
from ui.components.value_line import ValueLine


def readings() -> Readings:
    found = attribution(seq=4)
    spec = GradientSpec(text=TargetText.of(found.spec, (2,)), direction=found.spec.direction)
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    gradients = Gradients(
        spec=spec, along=rows, times_activation=-rows, removal=rows / 7, direct=np.ones((8, 4), np.float32)
    )
    return Readings(attribution=found, gradients=gradients)


def marks() -> Marks:
    return Marks(labels=("", "deduction", "=cmd()", ""), events=(2,), keywords=frozenset({2}))


def test_the_table_holds_every_reading_at_hand_with_all_digits() -> None:
    found = readings()
    rows = list(csv.DictReader(io.StringIO(csv_of(found, marks(), 1).decode("utf-8-sig"))))
    at_hand = [method for method in METHODS if method.available(found)]
    assert len(rows) == 4
    assert len(rows[0]) == 6 + len(at_hand)
    assert {"gradient", "direct_mlp"} <= {method.key for method in at_hand}
    for i, row in enumerate(rows):
        assert float(row["Gradient × direction, layer 1 [logits]"]) == 4.0 * (4 + i)
        assert json.loads(row["token"]) == found.attribution.pieces[i]
    assert [row["event"] for row in rows] == ["0", "0", "1", "0"]


def test_no_cell_of_the_table_is_a_formula_or_hides_a_character() -> None:
    found = readings()
    hostile = Readings(attribution=replace(found.attribution, pieces=("=1+1", "\u202e", "\x00\u200b", "@x")))
    text = csv_of(hostile, marks(), 1).decode("utf-8-sig")
    assert not re.search(r'(^|,)"?[=@\t]', text, re.MULTILINE)
    assert not re.search(r"[\u202e\u200b\x00]", text)


def test_the_page_lets_only_its_own_script_run_and_ends_no_element_early() -> None:
    strip = Strip(
        pieces=HOSTILE,
        values=np.linspace(-1, 1, len(HOSTILE)),
        value_name="</title><script>window.hacked=9</script>",
        parts=((0, 2, "<img src=x onerror=1>"),),
        rows=(Row(name="</script>", values=np.zeros(len(HOSTILE)), value_range=(-1, 1)),),
    )
    page = strip_html(strip, title="<script>1</script>", note='"><iframe>')
    assert page.count("<script") == page.count("</script>") == 2
    assert "<iframe" not in page
    assert "<img" not in page
    assert "script-src &#x27;sha256-" in page
    assert re.search(r"default-src &#x27;none&#x27;", page)
    data = json.loads(re.search(r"id='data'>(.*?)</script>", page, re.DOTALL)[1])
    assert data["pieces"][:19] == list(HOSTILE[:19])
    assert "<" not in script_safe({"a": "</script>&"})


def test_pictures_are_pictures() -> None:
    line = ValueLine(values=np.arange(4, dtype=np.float32), pieces=HOSTILE[:4], labels=("",) * 4, title="Projection")
    assert picture(line, "png")[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture(line, "svg").startswith(b"<svg")


def test_the_note_names_what_was_read() -> None:
    assert "4 tokens read by base (fp32)" in note_of(readings())
    assert BY_KEY["gradient"].title == "Gradient × direction"
