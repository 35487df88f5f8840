"""NF4 and int8 on the CPU: load, steer, extract, attribute; and the rule against saving a quantised model."""

from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch

from core.attribution import frozen_linears
from core.attribution.frozen_linears import differentiable
from core.attribution.one_text import attribute_tokens
from core.errors import UserFacingError
from core.forward import fixed_fit
from core.forward.edits import SteeringSpec
from core.forward.steering import compile_steering
from core.models.checkpoints import estimate_memory
from core.models.loaded import hook_count, load_model
from core.values import PAPER_WINDOW, ModelSpec
from tests import zoo
from tests.attribution.test_effects import effects_of, gradients_of
from tests.attribution.test_one_text import spec_for as attribution_spec
from tests.extraction.test_passes import extract, make_traces, spec_for
from tests.forward.test_hooks import record
from tests.runs.test_generation import complete, spec_of
from tests.tiny_models import tiny_folder


@pytest.fixture(scope="module", params=["nf4", "int8"])
def loaded(request, tmp_path_factory):
    folder = tiny_folder(tmp_path_factory.mktemp("quantised"), d_model=128)
    try:
        return load_model(ModelSpec(repo_id=str(folder), precision=request.param))
    except UserFacingError as error:
        pytest.skip(f"bitsandbytes has no backend here: {error}")


def test_the_linear_layers_are_quantised_and_the_residual_stream_is_not(loaded):
    kinds = {type(module).__name__ for module in loaded.layers[0].modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}
    assert loaded.compute_dtype in (torch.bfloat16, torch.float16, torch.float32)


def test_steered_layer_is_baseline_plus_vector(loaded, make_direction):
    direction = make_direction(loaded.d_model, layer=1)
    edit = SteeringSpec(direction=direction, layer=1, coefficient=3.0)
    baseline = record(loaded, layers=[1])[0].float()
    steered = record(loaded, layers=[1], steering=compile_steering(loaded, [[edit]], n_prompt=[3]))[0].float()
    step = torch.finfo(loaded.compute_dtype).eps * steered.abs().max()
    assert (steered - baseline - 3.0 * torch.from_numpy(direction.vector)).abs().max() <= 2 * step


def test_coefficient_zero_is_the_baseline_and_a_dose_changes_the_text(loaded, make_direction):
    def steered(coefficient):
        edit = SteeringSpec(direction=make_direction(loaded.d_model), layer=1, coefficient=coefficient)
        return complete(loaded, [spec_of(loaded, steering=[edit])])

    assert steered(0.0) == complete(loaded, [spec_of(loaded)]) != steered(40.0)
    assert hook_count(loaded) == 0


def test_4_bits_decode_by_fixed_steps_and_int8_says_why_it_does_not(loaded, caplog, monkeypatch):
    """Rows of other lengths; int8 is not even tried, as a failed capture may leave a card's allocator in it.

    Few tokens: 4-bit layers compute in bf16, whose rounding parts texts later on some processors.
    """
    monkeypatch.setattr(fixed_fit, "_fits", WeakKeyDictionary())
    specs = [spec_of(loaded, question, max_new_tokens=12) for question in ("Why?", "What is 3 plus 4?")]
    plain = complete(loaded, specs, fixed=False)
    if loaded.spec.precision == "int8":
        monkeypatch.setattr(fixed_fit, "_tried", lambda loaded: pytest.fail("a step was tried"))
    assert complete(loaded, specs, fixed=True) == plain
    assert fixed_fit.fits(loaded) == (loaded.spec.precision == "nf4")
    said = "decodes without fixed steps: its int8 layers wait for the host to look at each of their inputs"
    assert (said in caplog.text) == (loaded.spec.precision == "int8")


def test_int8_without_outliers_asks_nobody(loaded, monkeypatch):
    layers = [m for m in loaded.model.modules() if type(m).__name__ == "Linear8bitLt"]
    for layer in layers:
        monkeypatch.setattr(layer.state, "threshold", 0.0)
    monkeypatch.setattr(fixed_fit, "_fits", WeakKeyDictionary())
    assert fixed_fit.fits(loaded)


def test_extraction_and_attribution_run(loaded, make_direction):
    traces = make_traces()
    found = extract(loaded, traces, spec_for(loaded, traces, windows=(PAPER_WINDOW,)))
    direction = found.at(1, PAPER_WINDOW)
    assert np.isfinite(direction.vector).all()
    result = list(attribute_tokens(loaded, attribution_spec(loaded, direction)))[-1]
    assert np.isfinite(result.projection).all()
    assert np.isfinite(result.p_keyword).all()


@pytest.fixture(params=["as loaded", "as repacked"])
def layers(request, loaded, monkeypatch):
    """The library's own layers, and 4-bit ones treated as repacked also on a CPU for which they are not."""
    record(loaded)
    if request.param == "as repacked":
        if loaded.spec.precision != "nf4":
            pytest.skip("only 4-bit layers are repacked")
        monkeypatch.setattr(frozen_linears, "_is_repacked", lambda module: type(module).__name__ == "Linear4bit")


def test_gradients_flow_through_quantised_layers_to_activations(loaded, layers, make_direction):
    """A push of both signs cancels the curvature, and several directions at a coefficient of 3 most of the rounding."""
    before, pushed = [], []
    for seed in range(4):
        direction = make_direction(loaded.d_model, layer=1, seed=seed)
        found = gradients_of(loaded, direction, targets=(14,))
        assert (np.abs(found.along[:-1, :14]) > 0).all()
        up, down = (effects_of(loaded, direction, targets=(14,), coefficient=c, layer=0).steered for c in (3.0, -3.0))
        before.append(found.along[0, :14])
        pushed.append((up - down)[:14] / 6)
    estimate, exact = np.concatenate(before), np.concatenate(pushed)
    assert np.corrcoef(estimate, exact)[0, 1] > 0.95
    assert estimate @ exact / (estimate @ estimate) == pytest.approx(1, abs=0.2)
    assert hook_count(loaded) == 0


def test_a_repacked_layer_has_the_gradient_of_its_matrix(loaded, layers):
    if loaded.spec.precision != "nf4":
        pytest.skip("only 4-bit layers are repacked")
    layer = loaded.layers[0].mlp.up_proj
    x = torch.randn(1, 5, loaded.d_model, dtype=loaded.compute_dtype)
    with torch.no_grad():
        matrix = layer(torch.eye(loaded.d_model, dtype=x.dtype))
    with differentiable(loaded):
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        (gradient,) = torch.autograd.grad(out.float().sum(), leaf)
    assert "forward" not in vars(layer)
    with torch.no_grad():
        assert torch.equal(out.detach(), layer(x))
    assert torch.allclose(gradient.float(), matrix.float().sum(-1).expand_as(gradient), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_experts_stay_in_bf16_and_the_estimate_says_so(precision, tmp_path, monkeypatch):
    sizes = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32, "num_local_experts": 8}
    monkeypatch.setitem(zoo.OWN, "mixtral", sizes)
    spec = ModelSpec(repo_id=str(zoo.build(tmp_path, "mixtral")), precision=precision)
    try:
        loaded = load_model(spec)
    except UserFacingError as error:
        pytest.skip(f"bitsandbytes has no backend here: {error}")
    experts = [p for name, p in loaded.model.named_parameters() if ".experts." in name]
    assert {p.dtype for p in experts} == {torch.bfloat16}
    estimate = estimate_memory(spec)
    assert estimate.experts_bytes == sum(p.numel() * 2 for p in experts) > estimate.weights_bytes / 2
    taken = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    assert estimate.weights_bytes == pytest.approx(taken, rel=0.05)
