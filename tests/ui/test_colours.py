"""Meanings that colours carry, as an eye without the pigment for green sees them: they stay apart, or a dash or a shape
tells them apart too.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from core.experiments.words import TITLES
from core.settings import PROJECT
from tests.experiments.outcomes import outcome
from ui.attribution.corpus import histogram
from ui.components.colours import BLUE, GRAY, LABEL_COLOURS, ORANGE, RED, dashes
from ui.components.cosine_chart import over_layers_chart
from ui.components.theme import diverging
from ui.figures.catalogue import drawings

APART = 30.0
"""Distance in CIE L*a*b*: ten times what is just seen side by side, since these stand apart from each other."""
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
"""Of linear RGB: Machado, Oliveira and Fernandes (2009), severity 1."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
MOST = 0.62
"""How much of a colour lies behind a token at most."""


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def seen(colour: np.ndarray) -> np.ndarray:
    """(3,) L*a*b* of what is seen of an sRGB colour."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(DEUTERANOPIA @ linear, 0, 1) / (TO_XYZ @ np.ones(3))
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(seen(one) - seen(other)))


def encodings(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those of a chart and of all its layers."""
    for part in spec.get("layer", []):
        yield from encodings(part)
    yield spec.get("encoding", {})


def confused(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of a chart's names whose colours look alike and that no dash and no shape tells apart.

    A colour without a legend means nothing by itself: what it is of stands beside it.
    """
    colours: dict[str, str] = {}
    told: dict[str, tuple[str, ...]] = {}
    for encoding in encodings(spec):
        for channel in ("color", "fill", "shape", "strokeDash"):
            found = encoding.get(channel, {})
            scale, is_explained = found.get("scale", {}), found.get("legend", {}) is not None
            if found.get("type") != "nominal" or not scale.get("range") or not is_explained:
                continue
            for name, value in zip(scale["domain"], itertools.cycle(scale["range"]), strict=False):
                if channel in ("color", "fill"):
                    colours[name] = value
                else:
                    told[name] = (*told.get(name, ()), f"{channel} {value}")
    return [
        (one, other)
        for one, other in itertools.combinations(colours, 2)
        if distance(rgb(colours[one]), rgb(colours[other])) < APART and told.get(one) == told.get(other)
    ]


def test_the_simulation_confuses_what_such_eyes_confuse():
    red, green, blue = (rgb(colour) for colour in ("#a23c3c", "#5a6a28", "#2f7de1"))
    assert distance(red, green) < APART < distance(red, blue)


@pytest.mark.parametrize(
    "pair",
    [(BLUE, ORANGE), (BLUE, RED), (ORANGE, GRAY), diverging("light")[::2], diverging("dark")[::2]],
    ids=["the two models", "a curve and an event", "a model and the controls", "signs", "signs, dark"],
)
def test_two_meanings_stay_apart(pair):
    assert distance(*map(rgb, pair)) >= APART


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_signs_of_a_token_stay_apart_on_the_page(theme):
    colours = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"][theme]
    page, blue, orange = (rgb(colours[f"{name}Color"]) for name in ("background", "blue", "orange"))
    plus, minus = (MOST * colour + (1 - MOST) * page for colour in (blue, orange))
    assert distance(plus, minus) >= APART
    assert min(distance(plus, page), distance(minus, page)) >= APART


@pytest.mark.parametrize("figure", TITLES)
def test_every_series_of_a_figure_is_told_apart(figure):
    for drawing in drawings(outcome(), figure):
        assert confused(drawing.chart.to_dict()) == [], drawing.name


def test_labels_that_look_alike_have_other_dashes():
    names, rng = list(LABEL_COLOURS), np.random.default_rng(0)
    assert confused({"encoding": {"color": _nominal(names, list(LABEL_COLOURS.values()))}})
    assert confused(over_layers_chart(names, rng.uniform(-1, 1, (3, len(names))), layer=1).to_dict()) == []
    assert confused(histogram({name: rng.standard_normal(50) for name in names}, "projection").to_dict()) == []
    assert len({tuple(dash) for dash in dashes(len(names))}) == len(names)


def _nominal(names: list[str], values: list[str]) -> dict[str, Any]:
    return {"type": "nominal", "scale": {"domain": names, "range": values}}


def test_no_code_is_highlighted():
    """The colours of code in the light theme have a contrast below 3 to 1."""
    places = [path for folder in ("ui", "pages") for path in (PROJECT / folder).rglob("*.py")]
    assert len(places) > 100
    assert [path.name for path in places if 'language="' in path.read_text("utf-8")] == []
