"""A pair as one line of text: read as people type it, written so that it is read as the same."""

from __future__ import annotations

import pytest

from core.fetching.shipped import shipped_pairs
from core.models.pair import DEMO_PAIR
from core.settings import PAIR
from core.values import ModelSpec, PairSpec
from ui.shell.pairs.start import first_pair
from ui.shell.pairs.text import on_device, read_pair, show_pair

NAMED = {"repo_id": "maker/base", "adapter": "maker/mine", "precision": "bf16"}


def pair(base, reasoner):
    return PairSpec(base=base, reasoner=reasoner)


@pytest.mark.parametrize(
    ("base", "reasoner"),
    [
        (ModelSpec(repo_id="maker/base"), ModelSpec(repo_id="maker/reasoner", revision="v1")),
        (ModelSpec(repo_id="/models/a@b"), ModelSpec(repo_id="/models/a@b", adapter="/models/c@d")),
        (ModelSpec(repo_id="a/b", revision="v1"), ModelSpec(repo_id="a/b", adapter="c/d", adapter_revision="v2")),
    ],
)
def test_a_pair_is_read_as_it_was_written(base, reasoner):
    assert read_pair(show_pair(pair(base, reasoner))) == pair(base, reasoner)
    assert show_pair(on_device(pair(base, reasoner), "cuda")) == show_pair(pair(base, reasoner))


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(repo_id="/models/a,b"),
        ModelSpec(repo_id="/models/a + b"),
        ModelSpec(repo_id="/models/a\nb"),
        ModelSpec(repo_id="/models/a", adapter="/b, c"),
        ModelSpec(repo_id="/" + "a" * 1000),
        ModelSpec(repo_id="/models/a", precision="nf4"),
    ],
)
def test_what_would_be_read_as_another_pair_is_not_written(spec):
    assert show_pair(pair(spec, ModelSpec(repo_id="maker/reasoner"))) == ""


@pytest.mark.parametrize(
    "raw", ["", "a,b", "a,b,bf17", "a,,fp32", "a,b,fp32,c", "a\x00,b,fp32", "a" * 2000, "a\nb,c,fp32"]
)
def test_other_text_is_no_pair(raw):
    with pytest.raises(ValueError):
        read_pair(raw)


def test_the_pair_of_the_start_may_have_adapters(monkeypatch):
    monkeypatch.setenv(PAIR, "maker/base, maker/base + maker/mine")
    monkeypatch.setenv("RETRACE_PRECISION", "bf16")
    assert first_pair() == pair(ModelSpec(repo_id="maker/base", precision="bf16"), ModelSpec(**NAMED))


def test_the_pair_of_the_start_may_be_a_shipped_one_by_its_name(monkeypatch):
    monkeypatch.setenv(PAIR, "smollm2-135m-pair")
    monkeypatch.setenv("RETRACE_PRECISION", "fp32")
    assert first_pair() == shipped_pairs()["smollm2-135m-pair"].spec("fp32")


def test_what_names_no_pair_is_told_to_the_log_once_and_the_embedded_pair_stays(monkeypatch, caplog):
    monkeypatch.setenv(PAIR, "maker/base,")
    assert [first_pair(), first_pair()] == [DEMO_PAIR, DEMO_PAIR]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "RETRACE_PAIR is not used, the embedded pair is"
    ]
