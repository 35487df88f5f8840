"""Equations of the residual-stream hooks."""

import numpy as np
import pytest
import torch

from core.directions.direction import Direction
from core.errors import BadDirection, BadInput
from core.forward.edits import SteeringSpec
from core.forward.hooks import record_residuals, run_decoder, steer_residuals
from core.forward.programs import position_bounds
from core.forward.steering import compile_steering
from core.models.loaded import hook_count
from core.values import Positions
from tests.tiny_models import tiny_loaded

FAMILIES = ["llama", "qwen2", "mistral", "gemma", "gpt_neox"]
IDS = torch.tensor([[5, 17, 42, 99, 7, 23, 64, 11]])


def record(loaded, ids=IDS, layers=None, steering=None, positions=None):
    """Residual streams (n_layers, seq, d_model) of one forward pass, steered or not."""
    layers = layers or range(loaded.n_layers)
    kept = {}
    sink = lambda layer, hidden: kept.__setitem__(layer, hidden[0].clone())  # noqa: E731
    if steering is None:
        run_decoder(loaded, ids, layers, sink)
    else:
        steering.positions = torch.arange(ids.shape[1])[None] if positions is None else positions
        with steer_residuals(loaded, steering):
            run_decoder(loaded, ids, layers, sink)
    return torch.stack([kept[layer] for layer in layers])


@pytest.mark.parametrize("family", FAMILIES)
def test_steered_layer_is_baseline_plus_vector(family, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path, family)
    direction = make_direction(loaded.d_model, layer=1)
    edit = SteeringSpec(direction=direction, layer=1, coefficient=3.0)
    steering = compile_steering(loaded, [[edit]], n_prompt=[3])
    baseline, steered = record(loaded), record(loaded, steering=steering)
    assert torch.equal(steered[0], baseline[0])
    assert (steered[1] - baseline[1] - 3.0 * torch.from_numpy(direction.vector)).abs().max() <= 1e-5
    assert not torch.allclose(steered[2], baseline[2], atol=1e-3)


def test_ablate_leaves_no_projection_and_clamp_sets_it(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model, layer=1)
    vector = torch.from_numpy(direction.vector)
    for operator, coefficient, expected in (("ablate", 9.0, 0.0), ("clamp", 2.5, 2.5)):
        edit = SteeringSpec(direction=direction, layer=1, operator=operator, coefficient=coefficient)
        steered = record(loaded, steering=compile_steering(loaded, [[edit]], n_prompt=[3]))
        assert torch.allclose(steered[1] @ vector, torch.full((IDS.shape[1],), expected), atol=1e-5)


def test_amplify_adds_a_multiple_of_the_streams_own_direction(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model, layer=1)
    edit = SteeringSpec(direction=direction, layer=1, operator="amplify", coefficient=1.5)
    baseline, steered = record(loaded), record(loaded, steering=compile_steering(loaded, [[edit]], n_prompt=[3]))
    own = baseline[1] / baseline[1].norm(dim=-1, keepdim=True)
    assert (steered[1] - baseline[1] - 1.5 * own).abs().max() <= 1e-5


@pytest.mark.parametrize("operator", ["add", "amplify"])
@pytest.mark.parametrize("positions", [Positions(), Positions(region="completion")])
def test_coefficient_zero_leaves_the_stream_as_it_is_beside_a_row_that_is_edited(
    operator, positions, tmp_path, make_direction
):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model, layer=1)
    zero, six = (
        SteeringSpec(direction=direction, layer=1, operator=operator, coefficient=coefficient, positions=positions)
        for coefficient in (0.0, 6.0)
    )
    alone = record(loaded, steering=compile_steering(loaded, [[zero]], n_prompt=[3]))
    assert torch.equal(alone, record(loaded))
    two = IDS.repeat(2, 1)
    steering = compile_steering(loaded, [[zero], [six]], n_prompt=[3, 3])
    steering.positions = torch.arange(8).repeat(2, 1)
    kept, plain = {}, {}
    with steer_residuals(loaded, steering):
        run_decoder(loaded, two, range(3), kept.__setitem__)
    run_decoder(loaded, two, range(3), plain.__setitem__)
    for layer in range(3):
        assert torch.equal(kept[layer][0], plain[layer][0])
    assert (kept[1][1] - plain[1][1]).norm(dim=-1).max() > 5.9


def test_several_edits_at_one_layer_add_up_in_order(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    a, b = make_direction(loaded.d_model, seed=1), make_direction(loaded.d_model, seed=2)
    edits = [
        SteeringSpec(direction=a, layer=1, coefficient=2.0),
        SteeringSpec(direction=b, layer=1, coefficient=-1.5),
    ]
    steered = record(loaded, steering=compile_steering(loaded, [edits], n_prompt=[3]))
    expected = record(loaded)[1] + 2.0 * torch.from_numpy(a.vector) - 1.5 * torch.from_numpy(b.vector)
    assert (steered[1] - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("positions", "covered"),
    [
        (Positions(), range(8)),
        (Positions(region="prompt"), range(3)),
        (Positions(region="completion"), range(3, 8)),
        (Positions(region="completion", start=2), range(5, 8)),
        (Positions(region="all", start=1, stop=4), range(1, 4)),
        (Positions(region="completion", every=2), (3, 5, 7)),
        (Positions(region="prompt", start=1, stop=99), (1, 2)),
    ],
)
def test_only_the_named_positions_are_steered(positions, covered, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    direction = make_direction(loaded.d_model)
    edit = SteeringSpec(direction=direction, layer=1, coefficient=4.0, positions=positions)
    steered = record(loaded, steering=compile_steering(loaded, [[edit]], n_prompt=[3]), layers=[1])[0]
    changed = (steered - record(loaded, layers=[1])[0]).norm(dim=-1)
    want = torch.zeros(8)
    want[list(covered)] = 4.0
    assert torch.allclose(changed, want, atol=1e-5)


def test_a_slice_never_reaches_out_of_its_region():
    assert position_bounds(Positions(region="prompt", start=0, stop=50), 10)[:2] == (0, 10)
    assert position_bounds(Positions(region="completion", start=4, stop=6), 10)[:2] == (14, 16)


def test_padding_is_never_steered(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=4.0)
    positions = torch.arange(8)[None] - 2
    steered = record(loaded, steering=compile_steering(loaded, [[edit]], n_prompt=[3]), layers=[1], positions=positions)
    changed = (steered[0] - record(loaded, layers=[1])[0]).norm(dim=-1)
    assert changed[:2].max() == 0
    assert changed[2:].min() > 3.9


def test_hooks_are_gone_after_success_and_after_any_fault(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=1.0)
    record(loaded, steering=compile_steering(loaded, [[edit]], n_prompt=[3]))
    assert hook_count(loaded) == 0
    for fault in (KeyboardInterrupt, GeneratorExit, RuntimeError):
        steering = compile_steering(loaded, [[edit]], n_prompt=[3])
        with pytest.raises(fault), steer_residuals(loaded, steering), record_residuals(loaded, [0], lambda *_: None):
            raise fault
        assert hook_count(loaded) == 0


def test_the_forward_stops_after_the_deepest_layer_asked_for(tmp_path):
    loaded = tiny_loaded(tmp_path, n_layers=4)
    reached = []
    handles = [layer.register_forward_hook(lambda *_, i=i: reached.append(i)) for i, layer in enumerate(loaded.layers)]
    record(loaded, layers=[0, 1])
    for handle in handles:
        handle.remove()
    assert reached == [0, 1] or reached == [0]


@pytest.mark.parametrize(
    ("vector", "named"),
    [
        (np.full(32, np.nan, np.float32), "NaN"),
        (np.full(32, np.inf, np.float32), "infinite"),
        (np.zeros(32, np.float32), "norm"),
        (np.ones(1, np.float32), "shape [1]"),
        (np.ones((2, 16), np.float32), "shape [2, 16]"),
        (np.ones(32, np.int64), "int64"),
        (np.full(32, 1e30, np.float64), "norm"),
        (np.full(32, 1e300, np.float64), "infinite"),
    ],
)
def test_a6_bad_vectors_are_refused_by_name(vector, named):
    with pytest.raises(BadDirection) as caught:
        Direction.from_raw(vector, name="bad", layer=0)
    assert named in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("d_model", [31, 33])
def test_a6_a_vector_of_another_size_is_refused_before_any_forward(d_model, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    with pytest.raises(BadDirection, match=str(d_model)):
        compile_steering(loaded, [[SteeringSpec(direction=make_direction(d_model), layer=1)]], n_prompt=[3])


@pytest.mark.parametrize("layer", [-1, 999])
def test_a6_a_layer_that_is_not_there_is_refused(layer, tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    with pytest.raises((BadDirection, BadInput), match="layers 0 to 2"):
        compile_steering(loaded, [[SteeringSpec(direction=make_direction(loaded.d_model), layer=layer)]], n_prompt=[3])


def test_a6_a_coefficient_that_is_not_finite_is_refused(make_direction):
    for coefficient in (float("nan"), float("inf"), 1e9):
        with pytest.raises(BadInput):
            SteeringSpec(direction=make_direction(32), layer=0, coefficient=coefficient)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_stream_that_is_not_finite_at_any_steered_layer_is_noticed(broken, tmp_path, make_direction):
    """Only one layer writes infinity, and the next one reads zeros in its place."""
    loaded = tiny_loaded(tmp_path)
    edits = [SteeringSpec(direction=make_direction(loaded.d_model), layer=layer, coefficient=1.0) for layer in range(3)]
    whole, spoilt = (compile_steering(loaded, [edits], n_prompt=[3]) for _ in range(2))
    record(loaded, steering=whole)
    assert bool(whole.finite)
    handles = [loaded.layers[broken].register_forward_hook(lambda _m, _args, output: output + torch.inf)]
    if broken < 2:
        clean = lambda _m, args: (args[0].nan_to_num(0, 0, 0), *args[1:])  # noqa: E731
        handles.append(loaded.layers[broken + 1].register_forward_pre_hook(clean))
    try:
        record(loaded, steering=spoilt)
    finally:
        for handle in handles:
            handle.remove()
    assert not bool(spoilt.finite)
