"""The one table of operators: every operator has a row, what it says is so, and nothing else lists them."""

import ast
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from core.forward.edits import OPERATORS, Operator, SteeringSpec
from core.forward.hooks import record_residuals, steer_residuals
from core.forward.steering import compile_steering
from tests import house
from tests import stored_values as sv
from tests.tiny_models import tiny_loaded

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = {ROOT / "core/forward/edits.py", ROOT / "core/forward/steering.py"}
IDS = torch.arange(5, 13)[None]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("models"))


def test_every_operator_has_a_row():
    assert set(OPERATORS) == set(get_args(Operator))


def test_no_other_file_lists_the_operators():
    for path in set(house.sources(ROOT)) - HERE:
        texts = {node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)}
        assert len(texts & set(OPERATORS)) < 2, path


def layer_output(loaded, operator, coefficient):
    """(seq, d_model) of layer 1 with one edit there; None is no edit."""
    direction = sv.direction(d_model=loaded.d_model)
    edits = [SteeringSpec(direction=direction, layer=1, operator=operator, coefficient=coefficient)] if operator else []
    steering = compile_steering(loaded, [edits], n_prompt=[0])
    steering.positions = torch.arange(IDS.shape[1])[None]
    found = {}
    with torch.inference_mode(), steer_residuals(loaded, steering), record_residuals(loaded, [1], found.__setitem__):
        loaded.decoder(input_ids=IDS, use_cache=False)
    return found[1][0].numpy()


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_the_table_says_of_the_coefficient_is_what_the_hook_does(loaded, operator):
    plain, zero, three = (layer_output(loaded, *edit) for edit in ((None, 0.0), (operator, 0.0), (operator, 3.0)))
    assert np.allclose(zero, plain, atol=1e-6) == OPERATORS[operator].zero_is_no_edit
    assert (not np.allclose(zero, three, atol=1e-6)) == OPERATORS[operator].takes_coefficient


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_words_take_a_size_and_a_name(operator):
    words = OPERATORS[operator]
    assert words.choice
    assert ("2.5" in words.lane.format(size="2.5")) == words.takes_coefficient
    assert ("2.5" in words.export.format(size="2.5", name="'d'")) == words.takes_coefficient
