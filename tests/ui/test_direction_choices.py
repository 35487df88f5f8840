"""Which direction is chosen until a person chooses."""

from __future__ import annotations

from ui.directions.choices import Choice, first_choice


def test_a_recorded_direction_stays_the_default_after_another_one_is_saved(make_direction):
    saved = Choice(direction_id="a", direction=make_direction(8), origin="saved")
    older = Choice(direction_id="b", direction=make_direction(8), origin="saved")
    recorded = Choice(direction_id="c", direction=make_direction(8), origin="recorded")
    assert first_choice([saved, older, recorded]) is recorded
    assert first_choice([saved, older]) is saved
    assert first_choice([]) is None
