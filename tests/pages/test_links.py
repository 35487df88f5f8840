"""Foreign links over all pages: whatever they hold, no page breaks, and none starts what the page would not."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

import core.embedded
from core.jobs import Progress
from core.values import Part, Trace
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from ui.directions import first_experiment
from ui.playground.form import FIELDS as PLAYGROUND
from ui.playground.form import SEED, TEMPERATURE, TOKENS, TOP_P
from ui.playground.program import COUNT, EVERY, RAMP, START
from ui.traces.reader import FIELDS as TRACES
from ui.traces.reader import OFFSET

TEXT = "The sum of 3 and 4 is 8. Wait, let me check this again. The answer is 7."
NUMBERS = ["15", "17", "0", "-1", "-0", "+5", "999", "2048", "1000000000", "9" * 40, "1e3", "1e308", "1e-320", "0.55"]
NO_NUMBERS = [
    "１２",
    "1_000",
    "nan",
    "inf",
    "-inf",
    " 5",
    "5 ",
    "1,2",
    "",
    " ",
    "None",
    "true",
    "1",
    "\x00a\x07",
    "a\nb",
]
TEXTS = ["x" * 5000, "<b onload=1>&", "**a** [b](http://c)", "\u202eabc\u200b", "😀", "../../etc/passwd", "lanes"]
LISTS = ["a:add:1:2", "a:add:nan:2;b:add:1:1", ":::", "0" * 20, ",".join(["0" * 20] * 9), "baseline,base"]
NASTY = [*NUMBERS, *NO_NUMBERS, *TEXTS, *LISTS]
USUAL = {
    "view": ["lanes", "strip", "set", "history"],
    "operator": ["add", "ablate", "clamp", "amplify"],
    "positions": ["all", "prompt", "completion", "thinking"],
    "template": ["chat", "own", "raw"],
    "lanes": ["baseline", "base", "baseline,steered,control,base", "", "both"],
    "tokens": ["16", "32768"],
    "layer": ["0", "2", "3", "999"],
    "also": ["0,1", "2,999"],
    "coefficient": ["1000000", "-1000000", "1e-9", "0"],
    "from": ["2048"],
    "first": ["1"],
    "doses": ["1,2,0", "nan", "1e9", "1;2"],
    "scale": ["unit", "share"],
    "prompt": ["What is 3?", "long " * 700, "<|user|>"],
    "until": ["wait", "w" * 60, "a b c d e f g h i j k l m n o p q r s t"],
    "trace": ["0", "1", "9"],
    "model": ["base", "reasoner"],
}
OTHERS = ("home", "extraction", "directions", "labelling", "finetuning", "experiments", "attribution")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    monkeypatch.setattr("streamlit.page_link", lambda *_, **__: None)  # a page alone has no other to link to
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    bench.store.close()


@pytest.fixture
def started(bench, monkeypatch):
    """The kinds of the jobs that were submitted so far."""
    kinds, submit = [], bench.engine.submit

    def noted(kind, *args, **kwargs):
        kinds.append(kind)
        return submit(kind, *args, **kwargs)

    monkeypatch.setattr(bench.engine, "submit", noted)
    return kinds


@pytest.fixture
def kept(bench, make_direction):
    """A direction and a set of traces that are there."""
    parts = (Part(label="deduction", start=0, end=24), Part(label="backtracking", start=25, end=len(TEXT)))
    traces = [Trace(trace_id=name, prompt="Why?", text=TEXT, parts=parts) for name in "ab"]
    found = bench.directions.save(replace(make_direction(32, layer=1), resid_norm=9.0))
    return found, bench.trace_sets.save(traces, name="two", source="two.jsonl", form="test")


def visit(stem, link):
    """The page as a session sees it that comes with this link."""
    app = page_test(stem)
    for name, value in link.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, (stem, link, [box.value for box in app.exception])
    return app


def every_value_of_every_field(fields):
    """Links in which each field has each nasty value once."""
    for first in range(len(NASTY)):
        yield {name: NASTY[(first + 7 * place) % len(NASTY)] for place, name in enumerate(fields)}


def mixtures(fields, n, seed, known):
    """Links of a few fields, with values that are usual, nasty, or given twice."""
    draw = random.Random(seed)
    names = [*fields, "run", "unknown", "embed"]
    for _ in range(n):
        link = {}
        for name in draw.sample(names, draw.randint(1, 6)):
            usual = [*USUAL.get(name, []), *known]
            value = draw.choice(usual if draw.random() < 0.7 else NASTY)
            link[name] = [value, draw.choice(NASTY)] if draw.random() < 0.1 else value
        yield link


def links(stem, known):
    fields = {"playground": PLAYGROUND, "traces": TRACES}.get(stem)
    if fields is None:
        return list(mixtures({**PLAYGROUND, **TRACES}, 12, stem, known))
    return [*every_value_of_every_field(fields), *mixtures(fields, 80, stem, known)]


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["playground", "traces", *OTHERS])
def test_no_link_breaks_a_page_or_starts_what_the_page_would_not(stem, bench, kept, started):
    visit(stem, {})
    usual = list(started)
    tried = links(stem, kept)
    for link in tried:
        started.clear()
        visit(stem, link)
        assert sorted(started) <= sorted(usual), (stem, link, started)
    assert len(tried) >= {"playground": 120, "traces": 120}.get(stem, 12)


@pytest.mark.parametrize("stem", ["playground", "traces"])
def test_no_link_breaks_a_page_with_nothing_to_show(stem, bench):
    for link in random.Random(stem).sample(links(stem, ["0" * 20]), 15):
        visit(stem, link)


def words(app):
    return " ".join(box.value for kind in ("error", "warning", "info") for box in getattr(app, kind)).replace("\\", "")


def test_fifteen_tokens_are_refused_with_what_is_allowed(bench, kept):
    app = visit("playground", {"tokens": "15", "tempo": "3"})
    assert "tokens = 15 (allowed: 16 to 32,768)" in words(app)
    assert "tempo" not in words(app)
    assert app.session_state["pg_tokens"] == 256
    assert [button.label for button in app.button if button.label == "Run"]
    app.run()
    assert not app.exception
    assert "it is given 2 times" in words(visit("playground", {"seed": ["1", "2"]}))


@pytest.mark.parametrize(
    ("stem", "link", "sentence"),
    [
        ("playground", {"direction": "0" * 20, "coefficient": "500"}, "direction that was asked for is not on this"),
        ("playground", {"layer": "17"}, "no layer 17: its layers are 0 to 2"),
        ("playground", {"also": "1,8"}, "the model has 3"),
        ("playground", {"more": "0123:add:2:1"}, "not on this machine is left out"),
        ("playground", {"open": "0" * 20}, "not on this machine any more"),
        ("traces", {"set": "0" * 12}, "set that was asked for is not on this machine"),
        ("traces", {"trace": "7"}, "has no trace 8; it has 2"),
        ("traces", {"event": "musing"}, "labelled “musing”"),
    ],
)
def test_what_a_link_asks_for_in_vain_is_said_and_stays_said(stem, link, sentence, bench, kept):
    app = visit(stem, link)
    assert sentence in words(app)
    if "open" not in link:
        app.run()
        assert sentence in words(app)
    if "direction" in link:
        assert app.session_state["pg_coefficient"] != 500


def test_the_widgets_have_the_bounds_of_their_links(bench, kept):
    app = visit("playground", {})
    for kind, key, bounds in (
        ("number_input", "pg_tokens", TOKENS),
        ("slider", "pg_temperature", TEMPERATURE),
        ("slider", "pg_top_p", TOP_P),
        ("number_input", "pg_seed", SEED),
        ("number_input", "pg_control_seed", SEED),
        ("number_input", "pg_from", START),
        ("number_input", "pg_first", COUNT),
        ("number_input", "pg_every", EVERY),
        ("number_input", "pg_ramp", RAMP),
    ):
        widget = getattr(app, kind)(key)
        assert (widget.min, widget.max, widget.step) == (bounds.low, bounds.high, bounds.step), key
    slider = visit("traces", {}).slider("traces:range")
    assert (slider.min, slider.max) == (OFFSET.low, OFFSET.high)


def test_kept_values_that_have_become_impossible_are_brought_back(bench, kept):
    app = visit("playground", {})
    for key, value in {"pg_tokens": 3, "pg_top_p": 9.0, "pg_layer": 40, "pg_every": 0}.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception
    assert [app.session_state[key] for key in ("pg_tokens", "pg_every")] == [16, 1]
    assert TOP_P.low <= app.session_state["pg_top_p"] <= TOP_P.high
    assert app.session_state["pg_layer"] in range(3)


def test_a_first_look_runs_the_page_s_own_example_and_no_link_s(bench, kept, started, monkeypatch):
    monkeypatch.setattr(first_experiment, "DEMO_PAIR", bench.pair.spec)
    for link in ({"prompt": "Why?"}, {"tokens": "2048", "lanes": "both", "prompt": "Why?"}, {"seed": "3"}):
        visit("playground", link)
    assert started == []
    app = page_test("playground")
    app.session_state["pg_prompt"] = "Why?"
    app.run()
    assert started == ["generate"]


def test_a_link_follows_a_run_but_no_job_of_another_kind(bench, kept, monkeypatch):
    def endless():
        while True:
            yield Progress(0, 1, partial="no lanes", waiting=True)

    held = {kind: bench.engine.submit(kind, endless()) for kind in ("generate_set", "moments", "load")}
    for view, kind in (("lanes", "generate_set"), ("lanes", "moments"), ("strip", "load"), ("set", "moments")):
        app = visit("playground", {"run": held[kind], "view": view})
        assert not [slot for slot in ("job:playground", "job:strip", "job:set") if slot in app.session_state]
    assert "job:set" in visit("playground", {"run": held["generate_set"], "view": "set"}).session_state
    for job_id in held.values():
        bench.engine.stop(job_id)
        bench.engine.wait(job_id, 5)


def test_settings_that_are_too_long_for_an_address_are_not_half_in_it(bench, kept):
    app = visit("playground", {"seed": "3"})
    app.session_state["pg_mode"] = "own"
    app.session_state["pg_prompt"], app.session_state["pg_before"] = "a " * 1999, "b" * 2000
    app.session_state["pg_think"] = "c" * 1000
    app.run()
    assert not app.exception
    assert app.query_params == {}
    assert any("too long for an address" in caption.value for caption in app.caption)


def test_lanes_may_be_none(bench, kept):
    app = visit("playground", {"lanes": "", "prompt": "Why?"})
    assert "Choose at least one lane" in words(app)
    assert json.dumps(app.query_params["lanes"]) in ('""', '[""]')


@pytest.mark.parametrize("asked", ["0" * 20, "0" * 19, "../../etc/passwd", "<b>", "", "\x00", ["0" * 20, "1" * 20]])
def test_a_link_to_an_experiment_that_is_not_there_starts_nothing_and_says_so(asked, bench, started):
    app = visit("experiments", {"experiment": asked, "run": "nothing"})
    assert started == []
    if asked == "0" * 20:
        assert "There is no experiment" in words(app)
    elif asked:
        assert "were ignored" in words(app)
