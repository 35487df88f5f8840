"""The titles of stored generations: the steering in the words of the forms."""

from dataclasses import replace

import pytest

from core.forward.edits import OPERATORS, SteeringSpec
from tests.stored_values import generation
from ui.attribution.source import generation_title


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("add", "+4 × unit vector at layer 2"),
        ("ablate", "direction projected out at layer 2"),
        ("clamp", "projection set to +4 at layer 2"),
        ("amplify", "stream amplified by +4 at layer 2"),
    ],
)
def test_a_title_says_what_each_operator_does(make_direction, operator, words):
    assert operator in OPERATORS
    made = generation()
    edit = SteeringSpec(direction=make_direction(8), layer=2, operator=operator, coefficient=4.0)
    made = replace(made, spec=replace(made.spec, steering=(edit,)))
    assert generation_title(made).endswith(f" · {words}")
