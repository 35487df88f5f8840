"""Charts that keep their form while their numbers change: the form is built and checked once, then only data travel.

Altair copies and checks a chart every time one is built, which takes longer than everything else on a page; and the
browser draws a chart of another form anew, while it only moves the marks of one that it has.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import altair as alt
import pandas as pd
import streamlit as st

Data: TypeAlias = pd.DataFrame | alt.NamedData
Chart = TypeVar("Chart", alt.Chart, alt.LayerChart, alt.Chart | alt.LayerChart)
LEGEND_ROOM = 120
"""Pixels of title and legend."""
TWO_COLUMNS = 540
"""Pixels that two columns of a legend take."""
Form = Callable[[Data], Any]
"""A function of a module: from the data to an Altair chart whose form does not depend on them."""


def fixed_chart(form: Form, rows: pd.DataFrame, **options: Any) -> Any:
    """Draw the chart of these rows as wide as its place, in the theme of this session.

    `options` are those of st.vega_lite_chart.
    """
    theme = alt.theme.get()
    assert theme is not None
    return st.vega_lite_chart(rows, json.loads(_spec(form)) | theme(), width="stretch", **options)


def roomy(chart: Chart, *, is_wide: bool = False, room: int = LEGEND_ROOM) -> Chart:
    """A chart whose legend takes nothing from its height: on a page a chart is as high as all that it consists of.

    The legend of a wide one has two columns where its place has the room, as on no phone.
    """
    height = chart.height
    columns = alt.ExprRef(f"width < {TWO_COLUMNS} ? 1 : 2") if is_wide else 1
    return (
        chart.properties(height=height + room).configure_legend(columns=columns) if isinstance(height, int) else chart
    )


@functools.cache
def _spec(form: Form) -> str:
    spec = form(alt.NamedData(name="rows")).to_dict()
    return json.dumps({name: value for name, value in spec.items() if name not in ("data", "config")})
