"""A completion read back in one pass under its program, and the KL between lanes, against the definition."""

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.forward.unembedding import unembed
from core.models.loaded import hook_count, load_model
from core.runs.replay import forced_hidden, lane_kl
from core.runs.values import LaneKLSpec
from core.values import Positions
from tests.forward.test_programs import complete, edited_logits, spec_of
from tests.tiny_models import tiny_folder, tiny_loaded
from tests.tokens.test_vocabulary import permuted


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("models"))


def steered(loaded, make_direction, **fields):
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, **({"coefficient": 7.0} | fields))
    return spec_of(loaded, steering=[edit], max_new_tokens=20)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"operator": "clamp", "positions": Positions(region="completion", start=2, every=2)},
        {"operator": "amplify", "ramp": 6},
        {"positions": Positions(until=("a", "b", "c", "s", "t"))},
    ],
)
def test_read_back_in_one_pass_a_greedy_completion_predicts_itself(loaded, make_direction, fields):
    spec = steered(loaded, make_direction, **fields)
    tokens = complete(loaded, [spec])[0]
    logits = unembed(loaded, forced_hidden(loaded, spec, tokens))
    assert logits.argmax(-1).tolist() == tokens
    assert (logits[-1] - edited_logits(loaded, spec, tokens[:-1])).abs().max() <= 1e-4
    assert hook_count(loaded) == 0


def test_kl_between_lanes_is_the_definition_and_zero_between_a_lane_and_itself(loaded, make_direction):
    spec, baseline = steered(loaded, make_direction), spec_of(loaded)
    tokens = tuple(complete(loaded, [spec])[0])
    found = lane_kl(loaded, loaded, LaneKLSpec(lane=spec, reference=baseline, token_ids=tokens)).kl
    for i in (0, 3, len(tokens) - 1):
        p = edited_logits(loaded, spec, list(tokens[:i])).double().log_softmax(-1)
        q = edited_logits(loaded, baseline, list(tokens[:i])).double().log_softmax(-1)
        assert found[i] == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-3, abs=1e-6)
    same = lane_kl(loaded, loaded, LaneKLSpec(lane=spec, reference=spec, token_ids=tokens)).kl
    assert np.all(same == 0)


def test_an_empty_or_overlong_lane_is_refused(loaded):
    for tokens, named in (((), "no tokens"), ((5,) * 600, "reads at most"), ((5, loaded.d_vocab), "token id")):
        with pytest.raises(BadInput, match=named):
            forced_hidden(loaded, spec_of(loaded), tokens)


def test_models_of_different_vocabularies_are_not_compared(loaded, tmp_path):
    other = tiny_loaded(tmp_path, seed=3)
    object.__setattr__(other, "d_vocab", 7)
    with pytest.raises(BadInput, match="vocabular"):
        lane_kl(loaded, other, LaneKLSpec(lane=spec_of(loaded), reference=spec_of(loaded), token_ids=(5,)))
    assert torch.is_inference_mode_enabled() is False


def test_models_whose_ids_mean_other_words_are_not_compared(loaded, tmp_path):
    other = load_model(permuted(tiny_folder(tmp_path, seed=3)))
    assert other.d_vocab == loaded.d_vocab
    with pytest.raises(BadInput, match="344 token ids mean other words"):
        lane_kl(loaded, other, LaneKLSpec(lane=spec_of(loaded), reference=spec_of(other), token_ids=(5,)))
