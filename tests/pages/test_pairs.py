"""The sidebar's pair: choosing models with adapters, what they need, and the pair that a link was made with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.background import Errand
from core.memory import cards
from core.models import checkpoints
from core.settings import ONE_AT_A_TIME
from core.values import ModelSpec
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from tests.tiny_adapters import adapter_folder, factors
from ui.shell.pairs.text import show_pair
from ui.shell.state import workbench

Q = "model.layers.1.self_attn.q_proj"


@pytest.fixture
def pair(tmp_path):
    return save_tiny_pair(tmp_path)


@pytest.fixture
def mine(tmp_path, pair):
    return str(adapter_folder(tmp_path / "mine", factors(Q, 32, 32)))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("streamlit.page_link", lambda *_, **__: None)  # a page alone has no other to link to
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    bench.store.close()


def sidebar():
    from ui.shell.frame import draw_sidebar

    draw_sidebar()


def app(**link):
    """The sidebar alone, run once."""
    made = AppTest.from_function(sidebar, default_timeout=30)
    for name, value in link.items():
        made.query_params[name] = value
    return made.run()


def press(shown, label):
    next(button for button in shown.button if button.label == label).click()
    shown.run()
    for job in workbench().engine.live():
        if job.kind == "estimate":
            workbench().engine.wait(job.job_id, 30)
    shown.run()
    assert not shown.exception


def words(shown):
    kinds = ("error", "warning", "info", "caption", "markdown")
    return " ".join(box.value for kind in kinds for box in getattr(shown, kind)).replace("\\", "")


def choose(shown, base, reasoner, adapter):
    shown.selectbox("pair_preset").set_value("Other models…")
    shown.run()
    for key, value in {"base": base, "reasoner": reasoner, "reasoner_adapter": adapter}.items():
        shown.text_input(f"pair_{key}").set_value(value)
    shown.selectbox("pair_precision").set_value("fp32")
    shown.run()


def wait(bench):
    for job in bench.engine.live():
        assert bench.engine.wait(job.job_id, 60).state == "done"


def test_base_and_adapter_are_chosen_estimated_and_loaded(bench, pair, mine):
    shown = app()
    choose(shown, pair.base.repo_id, pair.base.repo_id, mine)
    press(shown, "What does it need?")
    assert f"Merging takes {4 * 32 * 32 / 1000:.1f} kB more while loading" in words(shown)
    press(shown, "Load this pair")
    wait(bench)
    assert bench.pair.spec.reasoner == ModelSpec(repo_id=pair.base.repo_id, adapter=mine)
    shown.run()
    assert "base + mine** finetuned from **base" in words(shown)


def test_an_adapter_of_another_model_is_said_before_it_is_loaded(bench, pair, mine, tmp_path):
    shown = app()
    choose(shown, pair.base.repo_id, pair.reasoner.repo_id, mine)
    press(shown, "What does it need?")
    assert "reasoner + mine: the adapter says that it was trained on maker/base" in words(shown)
    config = Path(mine) / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    press(shown, "What does it need?")
    assert "uses the option 'use_dora'" in words(shown)


def test_the_address_of_settings_holds_the_pair_that_they_are_of(bench, pair, mine):
    link = page_test("playground").run().query_params
    assert "prompt" in link
    assert link["pair"] in (show_pair(pair), [show_pair(pair)])
    assert "pair" not in page_test("talk").run().query_params
    with_adapter = pair.__class__(base=pair.base, reasoner=ModelSpec(repo_id=pair.base.repo_id, adapter=mine))
    bench.engine.wait(bench.load_pair(with_adapter), 60)
    assert page_test("playground").run().query_params["pair"] in (show_pair(with_adapter), [show_pair(with_adapter)])


def test_a_link_offers_its_pair_and_loads_nothing_by_itself(bench, pair, mine):
    base = pair.base.repo_id
    shown = app(pair=f"{base},{base} + {mine},fp32")
    assert bench.pair.spec == pair
    assert not bench.engine.live()
    assert "made with **base + mine** finetuned from **base** in fp32" in words(shown)
    press(shown, "Load the pair of the link")
    wait(bench)
    shown.run()
    assert bench.pair.spec.reasoner.adapter == mine
    assert "made with" not in words(shown)


@pytest.mark.parametrize("adapter", ["/etc", "a/b/c", "../..", "<img src=x>", "**x**"])
def test_a_link_to_what_may_not_be_read_is_refused_like_any_id(bench, pair, adapter):
    base = pair.base.repo_id
    shown = app(pair=f"{base},{base} + {adapter},fp32")
    press(shown, "Load the pair of the link")
    bench.engine.wait(shown.session_state["job:load"], 60)
    shown.run()
    assert not shown.exception
    assert "outside the folders" in words(shown) or "no model folder" in words(shown)


@pytest.mark.parametrize("raw", ["x", "a,b,c", "a\x00,b,fp32", "a" * 3000])
def test_a_link_without_a_pair_is_said_and_ignored(bench, raw):
    shown = app(pair=raw)
    assert not shown.exception
    assert "The link held values that do not exist here" in words(shown)
    assert "made with" not in words(shown)


def test_where_int8_is_offered_its_speed_is_said(bench):
    """With the figures of the README, and of int8 alone."""
    shown = app()
    shown.selectbox("pair_preset").set_value("Llama-3.1-8B and its R1 distil").run()
    said = [caption.value for caption in shown.caption]
    assert not any("tokens a second" in text for text in said)
    shown.selectbox("pair_precision").set_value("int8").run()
    (said,) = [caption.value for caption in shown.caption if "tokens a second" in caption.value]
    assert "9.5 tokens a second on an H200" in said
    table = (Path(__file__).parents[2] / "README.md").read_text("utf-8").partition("**How fast.**")[2]
    assert "| int8 | 9.5 |" in table
    assert "| bf16 | 160 |" in table


@pytest.fixture
def on_card(monkeypatch):
    """The CPU plays a card with a memory of its own."""
    monkeypatch.setattr(cards, "CARDS", ("cpu",))


def test_one_model_at_a_time_is_asked_for_loaded_and_described(bench, pair, on_card):
    shown = app()
    choose(shown, pair.base.repo_id, pair.reasoner.repo_id, "")
    assert shown.checkbox("pair_one_at_a_time").value is False
    shown.checkbox("pair_one_at_a_time").check()
    shown.run()
    press(shown, "Load this pair")
    wait(bench)
    shown.run()
    assert "One model at a time is on the card; the other waits in" in words(shown)
    assert "changed places" not in words(shown)
    with bench.pair._pair.models["reasoner"].lock:
        pass
    shown.run()
    assert "They last changed places in 0.0 s." in words(shown)
    choose(shown, pair.base.repo_id, pair.reasoner.repo_id, "")
    shown.checkbox("pair_one_at_a_time").uncheck()
    press(shown, "Load this pair")
    wait(bench)
    assert "at a time is on the card" not in words(shown.run())


def test_it_is_offered_on_cards_alone_and_not_for_what_cannot_leave_them(bench, pair, monkeypatch):
    shown = app()
    choose(shown, pair.base.repo_id, pair.reasoner.repo_id, "")
    assert not shown.checkbox
    monkeypatch.setattr(cards, "CARDS", ("cpu",))
    shown.selectbox("pair_precision").set_value("nf4")
    shown.run()
    assert shown.checkbox("pair_one_at_a_time").disabled
    monkeypatch.setenv(ONE_AT_A_TIME, "1")
    shown = app()
    choose(shown, pair.base.repo_id, pair.reasoner.repo_id, "")
    assert shown.checkbox("pair_one_at_a_time").value


@pytest.mark.parametrize(
    ("card", "computer", "said"),
    [
        (10**9, 0, "Free: **1.0 GB**"),
        (0, 0, "One model at a time will be there; the other waits in"),
        (0, -1, "This does not fit. Choose"),
        (-1, 0, "This does not fit. Choose"),
    ],
)
def test_what_it_needs_says_where_one_fits_and_both_do_not(bench, pair, on_card, monkeypatch, card, computer, said):
    """`card` and `computer` are the free bytes beyond what one model with its cache needs, and its weights."""
    need = checkpoints.estimate_pair(pair, Errand())
    one = max(found.weights_bytes + 2048 * found.kv_bytes_per_token for found in (need.base, need.reasoner))
    free = {"free_bytes": one + card, "computer_bytes": need.base.weights_bytes + computer}
    monkeypatch.setattr("core.models.pair.PairHolder.memory_taken", lambda *_: 0)
    monkeypatch.setattr("core.workbench.estimate_pair", lambda *_: replace(need, **free))
    shown = app()
    choose(shown, pair.base.repo_id, pair.reasoner.repo_id, "")
    press(shown, "What does it need?")
    assert said in words(shown)
    assert ("This does not fit" in words(shown)) == said.startswith("This")
