"""What a reading takes, against what it does: blocks and positions counted while it runs."""

from dataclasses import replace

import pytest
import torch

from core.attribution import costs
from core.attribution.costs import Sizes
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.one_text import read_steered
from core.attribution.readouts import SteeredSpec, StreamLensSpec
from core.attribution.stream_lens import read_layer
from core.attribution.values import GradientSpec, InterventionSpec, TargetText
from core.models.pair import ModelFacts
from tests.attribution.test_effects import last
from tests.attribution.test_one_text import spec_for
from tests.tiny_models import tiny_loaded

TEXT = "First we add the numbers. Wait, that is wrong. But maybe there is another way, and so we try it again."


@pytest.fixture
def loaded(tmp_path):
    torch.set_num_threads(1)
    return tiny_loaded(tmp_path, n_layers=4)


def sizes_of(loaded, reading):
    facts = ModelFacts(
        spec=loaded.spec,
        fingerprint="",
        name="tiny",
        n_layers=loaded.n_layers,
        d_model=loaded.d_model,
        d_vocab=loaded.d_vocab,
        context_length=512,
    )
    return Sizes.of(reading, facts)


def block_passes(loaded, run):
    """Rows × positions through the first linear layers of all blocks, in passes of the blocks over the text."""
    seen = []
    handles = [
        block.mlp.gate_proj.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].shape[:2].numel()))
        for block in loaded.layers
    ]
    run()
    for handle in handles:
        handle.remove()
    return sum(seen) / loaded.n_layers


@pytest.fixture
def reading(loaded, make_direction):
    return spec_for(loaded, make_direction(loaded.d_model), text=TEXT)


def test_blocks_of_each_reading_are_those_that_it_runs(loaded, reading, monkeypatch):
    """Without W_U, whose share is taken out, and without backward passes, which no hook sees."""
    monkeypatch.setattr(Sizes, "unembedding", 0.0)
    seq, sizes = len(reading.token_ids), sizes_of(loaded, reading)
    ran = block_passes(loaded, lambda: last(read_steered(loaded, SteeredSpec(reading=reading)))) / seq
    assert costs.steered_cost(sizes, reading.layer).passes == pytest.approx(ran)
    lens = StreamLensSpec.of(reading, 2)
    ran = block_passes(loaded, lambda: last(read_layer(loaded, loaded, lens))) / seq
    assert costs.lens_cost(sizes, 2).passes == pytest.approx(ran)
    gradient = GradientSpec(text=TargetText.of(reading, (seq - 2,)), direction=reading.direction)
    ran = block_passes(loaded, lambda: last(attribute_gradients(loaded, gradient))) / seq
    assert costs.gradients_cost(sizes).passes == pytest.approx(ran + 2)


@pytest.mark.parametrize("positions", [4, 20])
def test_exact_effects_take_what_is_said(loaded, reading, positions, monkeypatch):
    """Beside the two short passes that check the way, and rows of one batch that begin at its first position."""
    monkeypatch.setattr(Sizes, "unembedding", 0.0)
    monkeypatch.setattr("core.attribution.interventions._STEP_SECONDS", 0.0)
    monkeypatch.setattr("core.attribution.interventions.reproduces", lambda *_: True)
    seq = len(reading.token_ids)
    spec = InterventionSpec(
        text=TargetText.of(reading, (seq - 2,)),
        direction=reading.direction,
        layer=1,
        coefficient=1.0,
        first=seq - 1 - positions,
    )
    said = costs.effects_cost(sizes_of(loaded, reading), layer=1, stop=seq - 1, positions=positions)
    ran = block_passes(loaded, lambda: last(measure_effects(loaded, spec))) / seq
    assert said.passes == pytest.approx(ran, rel=0.05)
    monkeypatch.setattr("core.attribution.interventions.reproduces", lambda *_: False)
    whole = block_passes(loaded, lambda: last(measure_effects(loaded, spec))) / seq
    assert said.whole_passes <= whole * 1.05
    assert said.whole_passes > 2 * said.passes


def test_memory_grows_with_layers_and_text(loaded, reading):
    sizes = sizes_of(loaded, reading)
    longer, deeper = replace(sizes, seq=10 * sizes.seq), replace(sizes, n_layers=10 * sizes.n_layers)
    for larger in (longer, deeper):
        assert costs.gradients_cost(larger).bytes > costs.gradients_cost(sizes).bytes
    smollm = Sizes(n_layers=30, d_model=576, d_vocab=49_152, seq=2000, width=4)
    assert 0.3e9 < costs.gradients_cost(smollm).bytes < 0.9e9
