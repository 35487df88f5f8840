"""Which directions can be picked, and which is chosen until a person chooses."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import ui.directions.choices as module
from ui.directions.choices import Choice, choices, first_choice


def test_a_recorded_direction_stays_the_default_after_another_one_is_saved(make_direction):
    saved = Choice(direction_id="a", direction=make_direction(8), origin="saved")
    older = Choice(direction_id="b", direction=make_direction(8), origin="saved")
    recorded = Choice(direction_id="c", direction=make_direction(8), origin="recorded")
    assert first_choice([saved, older, recorded]) is recorded
    assert first_choice([saved, older]) is saved
    assert first_choice([]) is None


def test_a_recorded_direction_of_another_model_of_the_same_width_does_not_fit(make_direction, monkeypatch):
    found_in = {"mine": 1, "others": 2, "saved elsewhere": 3}
    made = {name: replace(make_direction(8, seed=seed), fingerprint=name) for name, seed in found_in.items()}
    kept = SimpleNamespace(direction_id="s", direction=made["saved elsewhere"])
    bench = SimpleNamespace(directions=SimpleNamespace(list=lambda: [kept]))
    monkeypatch.setattr(module, "workbench", lambda: bench)
    monkeypatch.setattr(module, "recorded_directions", lambda: (made["mine"], made["others"]))
    models = tuple(SimpleNamespace(has_weights=name.__eq__) for name in ("mine", "its reasoner"))

    def names(d_model: int | None) -> list[str]:
        return [choice.direction.fingerprint for choice in choices(d_model=d_model)]

    monkeypatch.setattr(module, "pair_facts", lambda: models)
    assert names(8) == ["saved elsewhere", "mine"]
    assert names(16) == []
    assert names(None) == ["saved elsewhere", "mine", "others"]
    monkeypatch.setattr(module, "pair_facts", lambda: None)
    assert names(8) == ["saved elsewhere", "mine", "others"]
