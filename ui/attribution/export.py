"""What is on the attribution page as files: a table of every reading, the line as a picture, the text as a page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Literal

import streamlit as st

from ui.attribution.catalogue import METHODS
from ui.attribution.methods import Readings
from ui.attribution.pinned import Marks
from ui.components.strip_export import strip_html
from ui.components.theme import chart_theme
from ui.components.token_strip import Strip
from ui.components.value_line import ValueLine, line_chart, line_rows, with_bands

_WIDTH = 900


def draw_export(readings: Readings, strip: Strip, line: ValueLine, marks: Marks, *, layer: int) -> None:
    """Buttons for every format; a file is made when its button is pressed."""
    with st.popover("Export", icon=":material/download:"):
        st.caption("The text as it is coloured now, and every reading computed so far.")
        _button("Table of all readings (CSV)", "attribution.csv", "text/csv", lambda: csv_of(readings, marks, layer))
        _button(
            "Text as a page (HTML, opens offline)",
            "attribution.html",
            "text/html",
            lambda: strip_html(strip, title=f"{strip.value_name} · Retrace", note=note_of(readings)).encode(),
        )
        _button("Line as a picture (PNG)", "attribution.png", "image/png", lambda: picture(line, "png"))
        _button("Line as a drawing (SVG)", "attribution.svg", "image/svg+xml", lambda: picture(line, "svg"))


def _button(label: str, file_name: str, mime: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        label, make, file_name=file_name, mime=mime, key=f"export:{file_name}", on_click="ignore", width="stretch"
    )


def csv_of(readings: Readings, marks: Marks, layer: int) -> bytes:
    """One row per token. Token text is quoted as in JSON, so no cell begins like a formula and no character hides."""
    methods = [method for method in METHODS if method.available(readings)]
    columns = [method.values(readings, layer) for method in methods]
    out = io.StringIO()
    writer = csv.writer(out)
    names = [f"{method.titled(layer)} [{method.unit}]" if method.unit else method.titled(layer) for method in methods]
    writer.writerow(["position", "in_text", "token", "label", "event", "keyword", *names])
    for i, piece in enumerate(readings.attribution.pieces):
        values = ["" if not math.isfinite(column[i]) else f"{float(column[i]):.6g}" for column in columns]
        known = [int(i >= readings.start), json.dumps(piece), json.dumps(marks.labels[i]) if marks.labels[i] else ""]
        writer.writerow([i, *known, int(i in marks.events), int(i in marks.keywords), *values])
    return out.getvalue().encode("utf-8-sig")


def note_of(readings: Readings) -> str:
    """What was read, by what, against which direction."""
    spec = readings.attribution.spec
    return (
        f"{len(spec.token_ids)} tokens read by {spec.model.name} ({spec.model.precision}); direction "
        f"“{spec.direction.name}”; steering {spec.coefficient:+.3g} after layer {spec.layer}; keywords "
        f"{', '.join(spec.keywords)}."
    )


def picture(line: ValueLine, form: Literal["png", "svg"]) -> bytes:
    """The line as it is on screen, on white, with its title."""
    import vl_convert

    chart = line_chart(with_bands(line_rows(line))).properties(width=_WIDTH, title=line.title)
    described = {**chart.to_dict(validate=False), **chart_theme("light")}
    if form == "png":
        return bytes(vl_convert.vegalite_to_png(described, scale=3))
    return str(vl_convert.vegalite_to_svg(described)).encode()
