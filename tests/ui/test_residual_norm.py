"""The recorded directions: one norm per model and layer, and the dose at which the effect was recorded."""

import pytest

from core.directions.direction import DOSE
from core.embedded import embedded_directions
from core.models.pair import DEMO_PAIR, ModelFacts
from core.settings import CACHE
from ui.directions.coefficient import default_coefficient, describe
from ui.directions.residual_norm import residual_norm
from ui.shell.state import workbench


@pytest.fixture
def facts(tmp_path, monkeypatch):
    """(base, reasoner) of the embedded pair, as far as a norm asks for them."""
    monkeypatch.setenv(CACHE, str(tmp_path))
    workbench.clear()
    sizes = {"n_layers": 6, "d_model": 128, "d_vocab": 1280, "context_length": 8192}
    yield [
        ModelFacts(spec=spec, fingerprint=found.fingerprint, name=spec.name, **sizes)
        for spec, found in zip((DEMO_PAIR.base, DEMO_PAIR.reasoner), embedded_directions(), strict=True)
    ]
    workbench().store.close()
    workbench.clear()


def test_both_directions_open_at_the_dose_that_was_recorded_in_the_steered_model(facts):
    (layer,) = {direction.layer for direction in embedded_directions()}
    of_base, of_reasoner = (residual_norm(one, layer) for one in facts)
    assert of_base.value != of_reasoner.value
    for direction in embedded_directions():
        share = float(dict(direction.provenance)[DOSE])
        dose = default_coefficient(direction, of_reasoner)
        assert dose == pytest.approx(share * of_reasoner.value, abs=0.05)
        words = f"{share:.0%} of the mean residual norm of reasoner at layer {layer}"
        assert words in describe(dose, direction, of_reasoner)


def test_no_norm_is_taken_from_another_layer_or_model(facts):
    base, reasoner = facts
    layer = embedded_directions()[0].layer
    assert residual_norm(reasoner, layer + 1).value == 0
    other = ModelFacts(**{**vars(base), "fingerprint": "another"})
    assert residual_norm(other, layer).value == 0
