"""How each model reads a question, on the pages that show it: switches of the template, its date, the vocabularies."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.tokens.frames import TEMPLATE_DATE
from core.values import ModelSpec, PairSpec
from tests.page_helpers import app_test, start_workbench
from tests.tiny_models import BOS, tiny_folder
from tests.tokens.test_vocabulary import permuted
from ui.shell.how_read import TOLD_KEY

QUESTION = "What is 3?"
TEMPLATE = (
    "{{ bos_token }}Today: {{ strftime_now('%Y-%m-%d') }}\n{% if not thinking is defined %}"
    "{% set thinking = false %}{% endif %}{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if thinking %}<think>{% else %}</think>{% endif %}"
    "{% if effort in ['low', 'high'] %}{{ effort }}{% endif %}{% endif %}"
)
FRAMED = f"{BOS}Today: {TEMPLATE_DATE}\n<|user|>{QUESTION}<|assistant|>"
SWITCH, CHOICE = f"{TOLD_KEY}:thinking", f"{TOLD_KEY}:effort"
WITH_FRAMES = ("playground", "attribution", "extraction")
WITH_PAIR = (*WITH_FRAMES, "home", "traces", "labelling")


def pair_of(root: Any, base: ModelSpec | None = None, **reasoner: Any) -> PairSpec:
    other = base or ModelSpec(repo_id=str(tiny_folder(root, seed=1, name="base", chat_template=None)))
    return PairSpec(base=other, reasoner=ModelSpec(repo_id=str(tiny_folder(root, seed=2, name="reasoner", **reasoner))))


@pytest.fixture(scope="module")
def told_pair(tmp_path_factory: pytest.TempPathFactory) -> PairSpec:
    return pair_of(tmp_path_factory.mktemp("told"), chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def permuted_pair(tmp_path_factory: pytest.TempPathFactory) -> PairSpec:
    root = tmp_path_factory.mktemp("permuted")
    return pair_of(root, permuted(tiny_folder(root, seed=1, name="base", chat_template=None)))


def page(stem: str, **state: Any) -> AppTest:
    """The page within the app, with a text on those that read one."""
    app = app_test(stem, seconds=60)
    given = {"pg_tokens": 16, "pg_prompt": QUESTION, "attribution_kind": "trace", **state}
    for key, value in given.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return " ".join(block.value for block in [*app.warning, *app.caption]).replace("\\", "")


def run_to_the_end(app: AppTest, bench: Any) -> Any:
    """The prompt of the reasoning model's newest run."""
    next(button for button in app.button if button.label == "Run").click()
    app.run()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 60)
    app.run()
    assert not app.exception
    specs = (entry.record.generation.spec for entry in bench.history.entries())
    return next(spec.prompt for spec in specs if spec.model.name == "reasoner")


@pytest.mark.parametrize("stem", WITH_FRAMES)
def test_switches_date_and_both_frames_stand_where_a_model_reads(
    stem: str, told_pair: PairSpec, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, make_direction: Any
) -> None:
    bench = start_workbench(tmp_path / "cache", told_pair, monkeypatch)
    bench.directions.save(make_direction(32, layer=1))
    app = page(stem)
    assert app.segmented_control(key=SWITCH).value == "on"
    assert app.segmented_control(key=CHOICE).value == "the template's own"
    assert f"The chat template prints a date; Retrace gives it {TEMPLATE_DATE}" in said(app)
    assert "Both readings begin with the model's own start token" in said(app)
    base, reasoner = (block.value for block in app.code if "── " in block.value)
    assert "<|user|>" in reasoner
    assert "<|user|>" not in base
    assert "<think>" in reasoner
    app.segmented_control(key=SWITCH).set_value("off").run()
    assert not app.exception
    assert app.segmented_control(key=SWITCH).value == "off"
    assert app.session_state[TOLD_KEY] == {"thinking": "off"}
    _, reasoner = (block.value for block in app.code if "── " in block.value)
    assert "</think>" in reasoner


def test_what_the_template_is_told_is_part_of_the_run_its_link_and_its_code(
    told_pair: PairSpec, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start_workbench(tmp_path / "cache", told_pair, monkeypatch)
    app = page("playground")
    assert run_to_the_end(app, bench).text == f"{FRAMED}<think>"
    assert "told" not in app.query_params
    app.segmented_control(key=SWITCH).set_value("off").run()
    app.segmented_control(key=CHOICE).set_value("high").run()
    prompt = run_to_the_end(app, bench)
    assert prompt.text == f"{FRAMED}</think>high"
    assert app.query_params["told"] in ("thinking=off&effort=high", ["thinking=off&effort=high"])
    app.session_state["pg_share"] = "code"
    app.run()
    assert "</think>high" in app.code[-1].value
    app.segmented_control(key=SWITCH).set_value("on").run()
    app.segmented_control(key=CHOICE).set_value("the template's own").run()
    assert app.session_state[TOLD_KEY] == {}
    assert "told" not in app.query_params


@pytest.mark.parametrize(
    ("link", "ending", "note"),
    [
        ("thinking=off&effort=low", "</think>low", ""),
        ("thinking=on", "<think>", ""),
        ("mode=x", "<think>", "cannot be told mode = x"),
        ("effort={{7*7}}", "<think>", "cannot be told effort = {{7*7}}"),
        ("messages=on", "<think>", "cannot be told messages = on"),
        ("&&=", "<think>", "were ignored"),
    ],
)
def test_a_link_tells_the_template_what_it_has_and_nothing_else(
    told_pair: PairSpec, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, link: str, ending: str, note: str
) -> None:
    bench = start_workbench(tmp_path / "cache", told_pair, monkeypatch)
    app = app_test("playground")
    app.query_params["told"] = link
    app.session_state["pg_prompt"], app.session_state["pg_tokens"] = QUESTION, 16
    app.run()
    assert not app.exception
    assert note in said(app)
    assert run_to_the_end(app, bench).text == f"{FRAMED}{ending}"


@pytest.mark.parametrize("stem", WITH_PAIR)
def test_a_permuted_vocabulary_is_said_on_every_page_that_uses_the_pair(
    stem: str, permuted_pair: PairSpec, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_workbench(tmp_path / "cache", permuted_pair, monkeypatch)
    assert "differ: 344 token ids mean other words in the other model" in said(page(stem))


@pytest.mark.parametrize("stem", ["playground", "extraction"])
def test_of_equal_vocabularies_nothing_is_said(
    stem: str, told_pair: PairSpec, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_workbench(tmp_path / "cache", told_pair, monkeypatch)
    assert "mean other words" not in said(page(stem))
