"""What a model must show at load: each fault that would make a reading or a run wrong is refused with its reason."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from core.errors import ModelUnavailable
from core.forward.acceptance import accept, load_model
from core.models.loaded import LoadedModel, hook_count
from core.values import ModelSpec
from tests.tiny_models import tiny_folder, tiny_loaded


@pytest.fixture
def loaded(tmp_path) -> LoadedModel:
    return tiny_loaded(tmp_path)


def refusal(loaded: LoadedModel) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        accept(loaded)
    assert hook_count(loaded) == 0
    return caught.value.problem


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gpt_neox"])
def test_families_are_accepted(family, tmp_path):
    accept(tiny_loaded(tmp_path, family))


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_precisions_are_accepted(precision, tmp_path):
    assert load_model(ModelSpec(repo_id=str(tiny_folder(tmp_path)), precision=precision)).n_layers == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(loaded, value):
    with torch.no_grad():
        loaded.layers[1].mlp.up_proj.weight[3, 3] = value
    assert "NaN or infinite" in refusal(loaded)


def test_a_wrong_way_to_the_logits(loaded):
    assert "do not give its logits" in refusal(replace(loaded, final_norm=nn.Identity()))
    assert "do not give its logits" in refusal(replace(loaded, head=lambda normed: loaded.head(normed) / 8))


def test_outputs_of_blocks_that_are_not_the_stream(loaded):
    first, second, last = loaded.layers
    assert "not what the next block is given" in refusal(replace(loaded, layers=(second, first, last)))


def wrapped(loaded: LoadedModel, change) -> LoadedModel:
    """The model with its forward's arguments changed first."""
    forward = loaded.model.forward
    loaded.model.forward = lambda **given: forward(**change(given))
    return loaded


def test_a_model_that_does_not_heed_the_padding(loaded):
    def change(given):
        return {name: value for name, value in given.items() if name not in ("attention_mask", "position_ids")}

    assert "in a batch is read otherwise than alone" in refusal(wrapped(loaded, change))


def test_a_cache_that_forgets(loaded):
    def change(given):
        cached = given.get("past_key_values") is not None and given["input_ids"].shape[1] == 1
        return given | {"past_key_values": None, "attention_mask": None} if cached else given

    assert "with cached keys and values" in refusal(wrapped(loaded, change))


def test_an_error_of_the_model_itself_is_a_refusal(loaded, caplog):
    def change(given):
        if given["use_cache"]:
            raise ValueError("this model has a cache of its own")
        return given

    assert "ends in an error of its own (ValueError)" in refusal(wrapped(loaded, change))
    assert "this model has a cache of its own" in caplog.text


def test_the_number_of_threads_is_as_before(loaded):
    torch.set_num_threads(2)
    accept(loaded)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
