"""Where and when a result was measured stands beside it, whatever the pair at hand runs on."""

from dataclasses import replace

import pytest

from core.disk import codec
from core.disk.store import Store
from core.models.pair import ModelFacts
from core.runs.values import Generation
from core.weights import measured_by
from tests import stored_values
from ui.shell import measured as shown

NOW = "weights:" + "a" * 64


def facts(**changes):
    sizes = dict.fromkeys(("n_layers", "d_model", "d_vocab", "context_length"), 1)
    return ModelFacts(**{"spec": stored_values.MODEL, "name": "m", "fingerprint": NOW, **sizes, **changes})


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A generation that was measured on a card, and a store that a machine without one opens."""
    spec = stored_values.generation_spec(model=replace(stored_values.MODEL, device="cuda"), fingerprint=NOW)
    value = replace(stored_values.generation(), spec=spec)
    on = facts(spec=spec.model, card="NVIDIA H100 80GB HBM3")
    assert Store(tmp_path, measured=lambda: measured_by([on, on])).put("generation", spec, value)
    store = Store(tmp_path)
    monkeypatch.setattr(shown, "workbench", lambda: type("Bench", (), {"store": store})())
    return store, value


def test_a_result_of_a_card_is_found_on_the_cpu_and_says_where_it_was_measured(found):
    store, value = found
    here = replace(value.spec, model=replace(value.spec.model, device="cpu", repo_id="/elsewhere"))
    assert store.get(Generation, "generation", here) == value
    words = shown.measured("generation", here)
    assert words.startswith("Measured on cuda, NVIDIA H100 80GB HBM3, ")
    stamp = store.stamp("generation", here)
    assert stamp.measured["model 1"] == "tiny/base@abc"
    assert set(stamp.measured) >= {"torch", "transformers"}


def test_what_is_not_there_says_nothing(found):
    _, value = found
    assert shown.measured("generation", replace(value.spec, fingerprint="weights:" + "b" * 64)) == ""


def test_what_was_kept_before_says_its_day(tmp_path, monkeypatch):
    store, value = Store(tmp_path), stored_values.generation()
    store.put("generation", value.spec, value)
    monkeypatch.setattr(shown, "workbench", lambda: type("Bench", (), {"store": store})())
    assert shown.measured("generation", value.spec).startswith("Measured on ")
    assert codec.read_stamp(codec.dump(value, key="k"), key="k").measured == {}


def test_a_stamp_that_was_tampered_with_is_noticed(found):
    _, value = found
    data = bytearray(codec.dump(value, key="k", measured={"device": "cuda"}))
    data[data.index(b"cuda")] ^= 1
    with pytest.raises(codec.CorruptValue):
        codec.read_stamp(bytes(data), key="k")
