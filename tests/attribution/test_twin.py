"""The embedded reasoner rewritten as Granite, which scales embedding, attention, blocks and logits: the same model.

Every reading of it has to be the same. All factors are powers of two, so that rounding is too.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.attribution.direct import attribute_logits
from core.attribution.direction_lens import read_direction
from core.attribution.divergence import compare_models
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.values import DivergenceSpec, GradientSpec, InterventionSpec, LensSpec
from core.errors import ModelUnavailable
from core.forward.acceptance import load_model
from core.forward.scoring import score_completions
from core.models.pair import DEMO_PAIR
from core.settings import PROJECT
from core.values import ModelSpec
from tests.attribution.test_effects import last, target_text
from tests.attribution.test_one_text import attribute, lens_of, spec_for, steered
from tests.runs.test_generation import complete, spec_of
from tests.tiny_models import allow_root

EMBEDDING, BLOCKS, LOGITS, ATTENTION = 4.0, 0.5, 8.0, 0.25


def granite_folder(root: Path) -> Path:
    """The reasoner's files with every factor of Granite undone in the weights."""
    folder = root / "granite"
    shutil.copytree(PROJECT / "demo" / "reasoner", folder)
    config = json.loads((folder / "config.json").read_text())
    own = ATTENTION * config["head_dim"] ** 0.5
    weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    embedding = weights["model.embed_tokens.weight"]
    weights["lm_head.weight"] = embedding * LOGITS
    weights["model.embed_tokens.weight"] = embedding / EMBEDDING
    for name in list(weights):
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] = weights[name] / BLOCKS
        if name.endswith("q_proj.weight"):
            weights[name] = weights[name] / own
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    config |= {
        "architectures": ["GraniteForCausalLM"],
        "model_type": "granite",
        "tie_word_embeddings": False,
        "dtype": "float32",
        "embedding_multiplier": EMBEDDING,
        "residual_multiplier": BLOCKS,
        "logits_scaling": LOGITS,
        "attention_multiplier": ATTENTION,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins")
    allow_root(root)
    return load_model(DEMO_PAIR.reasoner), load_model(ModelSpec(repo_id=str(granite_folder(root))))


@pytest.fixture
def direction(make_direction, twins):
    return make_direction(twins[0].d_model, layer=2, norm=3.0)


def same(ours: object, theirs: object, *names: str) -> None:
    for name in names:
        a, b = (np.asarray(getattr(found, name)) for found in (ours, theirs))
        assert np.isfinite(a).any(), name
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True), name


def test_they_write_the_same_and_score_the_same(twins):
    written = [complete(model, [spec_of(model, max_new_tokens=24)])[0] for model in twins]
    assert written[0] == written[1]
    rows = [(spec_of(twins[0]).prompt.token_ids, written[0])]
    ours, theirs = (score_completions(model, rows)[0] for model in twins)
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_readings_and_the_kl_of_a_steered_pass_are_the_same(twins, direction):
    specs = [spec_for(model, direction, coefficient=20.0) for model in twins]
    ours, theirs = (attribute(model, spec) for model, spec in zip(twins, specs, strict=True))
    same(ours, theirs, "projection", "cosine", "p_keyword")
    ours, theirs = (steered(model, spec) for model, spec in zip(twins, specs, strict=True))
    same(ours, theirs, "kl", "p_keyword")
    assert ours.kl.max() > 1e-3


def test_the_logit_lens_of_every_layer_is_the_same(twins, direction):
    for layer in range(twins[0].n_layers):
        ours, theirs = (lens_of(model, spec_for(model, direction), layer) for model in twins)
        same(ours, theirs, "lens", "score")


def lens_spec(model, direction) -> LensSpec:
    return LensSpec(model=model.spec, fingerprint=model.fingerprint, direction=direction, words=("wait",))


def test_the_lens_of_a_direction_is_the_same(twins, direction):
    ours, theirs = (read_direction(model, lens_spec(model, direction)) for model in twins)
    assert ours.score == pytest.approx(theirs.score, abs=1e-5)
    assert [text for text, _ in ours.top] == [text for text, _ in theirs.top]
    assert [value for _, value in ours.top] == pytest.approx([value for _, value in theirs.top], abs=1e-4)


def test_gradients_and_exact_effects_are_the_same(twins, direction):
    texts = [target_text(model) for model in twins]
    pairs = list(zip(twins, texts, strict=True))
    ours, theirs = (last(attribute_gradients(m, GradientSpec(text=text, direction=direction))) for m, text in pairs)
    same(ours, theirs, "along", "times_activation", "removal", "target")
    specs = [InterventionSpec(text=text, direction=direction, layer=2, coefficient=2.0, first=0) for text in texts]
    ours, theirs = (last(measure_effects(m, spec)) for m, spec in zip(twins, specs, strict=True))
    same(ours, theirs, "steered", "ablated", "steered_all", "ablated_all", "target")


def test_they_do_not_part(twins):
    ours, theirs = twins
    spec = DivergenceSpec(text=target_text(ours), other=target_text(theirs))
    assert np.nanmax(last(compare_models(ours, theirs, spec)).kl) < 1e-6


def test_direct_attribution_is_refused_where_blocks_scale_what_their_parts_give(twins):
    ours, theirs = twins
    ids = target_text(ours).token_ids
    found = attribute_logits(ours, ids, [20, 30])
    with torch.inference_mode():
        embedded = ours.model.get_input_embeddings()(torch.tensor(ids))
    assert embedded.shape == (found.shape[1], ours.d_model)
    with pytest.raises(ModelUnavailable, match="add something else to the residual stream"):
        attribute_logits(theirs, ids, [20, 30])
