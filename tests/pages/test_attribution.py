"""The attribution page on a tiny pair: what is read, what switches without a job, and what bad input says."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import core.embedded
from core.attribution.corpus import Extreme
from core.attribution.cross_check import rank_correlation
from core.attribution.readouts import StreamLensSpec
from core.attribution.values import Attribution, LayerLens, LayerLensSpec
from core.embedded import AGREEMENT_FILE
from core.forward.edits import SteeringSpec
from core.jobs import Progress
from core.runs.values import Generation, GenerationSpec
from core.traces.events import LABELS
from core.values import Part, SamplingSpec, Trace
from core.workbench import Workbench
from tests.attribution.test_cross_check import REPORT
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from ui.attribution.catalogue import BY_KEY, FAMILIES, METHODS, methods_of
from ui.attribution.corpus import open_text
from ui.attribution.form import place_parts
from ui.attribution.methods import Readings
from ui.attribution.pinned import next_tokens
from ui.attribution.reader.sentences import segments, sentence_starts
from ui.attribution.view import STRIP_KEY, keyword_tokens
from ui.shell.handoff import open_in_attribution
from ui.shell.state import workbench

TEXT = "The sum of 3 and 4 is 8. Wait, let me check this again. The answer is 7."
TRACE = {
    "id": "t1",
    "prompt": "What is 3 plus 4?",
    "text": TEXT,
    "parts": [
        {"label": "deduction", "start": 0, "end": 24},
        {"label": "backtracking", "start": 25, "end": 55},
        {"label": "deduction", "start": 56, "end": len(TEXT)},
    ],
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch) -> Workbench:
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    return start_workbench(tmp_path / "cache", pair, monkeypatch)


@pytest.fixture
def trace_file(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "traces.jsonl").write_text(json.dumps(TRACE), "utf-8")


@pytest.fixture
def direction(bench, make_direction):
    found = replace(make_direction(32, layer=1, norm=2.0), name="found <b>here</b>", source_model="base")
    bench.directions.save(found)
    return found


def opened(**state: object) -> AppTest:
    app = page_test("attribution")
    for name, value in state.items():
        app.session_state[name] = value
    app.run()
    assert not app.exception
    return finish(workbench(), app)


def pasted(text: str = TEXT, question: str = "What is 3 plus 4?") -> AppTest:
    return opened(attribution_kind="paste", attribution_question=question, attribution_text=text)


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def shown(app: AppTest) -> Attribution:
    return app.session_state["attribution:shown"][1]


def pin_of(app: AppTest) -> int | None:
    return app.session_state[f"{STRIP_KEY}:pin"]["token"]


def words(app: AppTest) -> str:
    """Everything that the page says in boxes, markdown and captions."""
    kinds = (app.error, app.warning, app.info, app.markdown, app.caption)
    return "\n".join(item.value for kind in kinds for item in kind).replace("\\", "")


def generation_of(bench: Workbench, *, steering: tuple[SteeringSpec, ...] = (), n: int = 12) -> Generation:
    facts = bench.pair.facts("reasoner")
    spec = GenerationSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        prompt=bench.pair.encode("reasoner", "What is 3 plus 4?"),
        sampling=SamplingSpec(max_new_tokens=n, temperature=1.0, seed=3),
        steering=steering,
    )
    done = bench.engine.wait(bench.generate([spec]), 60)
    assert done.state == "done", done.error
    return done.result[0]


def event_of(bench: Workbench) -> int:
    """The token that TEXT turns back at."""
    reading = bench.pair.read("reasoner", TRACE["prompt"], TEXT)
    return reading.text_start + next(i for i, (start, end) in enumerate(reading.spans) if "W" in TEXT[start:end])


def test_the_first_visit_opens_the_first_trace_at_the_strongest_sentence_before_its_event(bench, trace_file, direction):
    app = opened()
    attribution, event = shown(app), event_of(bench)
    start = attribution.spec.text_start
    assert attribution.spec.token_ids == bench.pair.read("reasoner", TRACE["prompt"], TEXT).token_ids
    assert attribution.spec.direction == direction
    assert pin_of(app) == start + int(attribution.projection[1, start:event].argmax())
    assert "the strongest sentence before the first event" in words(app)
    assert "Label **deduction**" in words(app)
    app.session_state[f"{STRIP_KEY}:pin"] |= {"token": event}
    said = words(rerun(app))
    assert "Event" in said
    assert "Label **backtracking**" in said
    assert "Opened here" not in said


def test_plain_text_opens_before_its_first_keyword_else_at_its_strongest_token(bench, direction):
    for text, place in (("Let me see. So it is 7. Wait, no. It is 8.", "keyword"), ("So it is 7. No, 8.", "token")):
        app = pasted(text, "")
        found, start = shown(app), shown(app).spec.text_start
        stop = min(keyword_tokens(found), default=len(found.pieces))
        sentence = sentence_starts(found.pieces, text_start=start)
        pinned = pin_of(app)
        assert start <= pinned < stop
        if place == "keyword":
            means = [
                (float(found.projection[1, a:b].mean()), a, b) for a, b in segments(sentence, stop) if start <= a < b
            ]
            _, first, last = max(means)
            assert pinned == first + int(found.projection[1, first:last].argmax())
        else:
            assert pinned == start + int(found.projection[1, start:].argmax())
        assert "Opened here" in words(app)


def test_the_text_stays_while_another_reading_is_computed(bench, trace_file, direction, monkeypatch):
    seen = []
    monkeypatch.setattr("ui.attribution.view.token_strip", lambda strip, **_: seen.append(strip) or 3)
    app = choose(opened(), "cosine")
    monkeypatch.setattr("ui.shell.jobs.AUTO_RUN_MACS", 0)
    choose(app, "gradient")
    assert app.button(key="gradients:go")
    assert seen[-1].value_name == "Cosine, layer 1"
    app.button(key="gradients:go").click()
    finish(bench, rerun(app))
    assert seen[-1].value_name == "Gradient × direction, layer 1"
    assert len({strip.pieces for strip in seen}) == 1


def test_pasted_text_is_attributed(bench, direction):
    app = pasted()
    reading = bench.pair.read("reasoner", "What is 3 plus 4?", TEXT)
    assert shown(app).spec.token_ids == reading.token_ids
    assert shown(app).spec.keywords == ("wait", "hmm")
    assert "This text has no labelled events" in words(app)


def choose(app: AppTest, key: str) -> AppTest:
    """Colour by this method."""
    family = next(method.family for method in METHODS if method.key == key)
    app.segmented_control(key="attribution_family").set_value(family)
    rerun(app)
    app.segmented_control(key=f"attribution_method:{family}").set_value(key)
    return rerun(app)


def finish(bench: Workbench, app: AppTest) -> AppTest:
    """Draw the page again once the jobs that it started have ended, those of that drawing included."""
    while True:
        for job in bench.engine.live():
            bench.engine.wait(job.job_id, 60)
        rerun(app)
        if not bench.engine.live():
            return app


def test_switching_method_and_layer_starts_no_job(bench, trace_file, direction, monkeypatch):
    app = opened(attribution_lens_words="we")
    before = shown(app)
    for method in METHODS:
        choose(app, method.key)
        if any(button.key == "interventions:go" for button in app.button):
            app.button(key="interventions:go").click()
            rerun(app)
        finish(bench, app)
    monkeypatch.setattr(bench.engine, "submit", lambda *a, **k: pytest.fail("a job was submitted"))
    seen = set()
    for method in METHODS:
        choose(app, method.key)
        seen.add(app.metric[0].label)
        assert app.slider(key="attribution_read_layer:3").disabled is not method.per_layer
    assert len(seen) == len(METHODS)
    choose(app, "projection")
    app.slider(key="attribution_read_layer:3").set_value(2)
    rerun(app)
    assert app.metric[0].label == "Projection, layer 2"
    assert app.metric[0].value == METHODS[0].format(float(before.projection[2, pin_of(app)]))
    assert shown(app) is before


def test_bars_stack_what_is_at_hand(bench, trace_file, direction, monkeypatch):
    seen = []
    monkeypatch.setattr("ui.attribution.view.token_strip", lambda strip, **_: seen.append(strip) or 3)
    app = opened()
    app.multiselect(key="attribution_bars").set_value(["p_keyword", "gradient", "exact_ablation"])
    rerun(app)
    assert [row.name for row in seen[-1].rows] == ["P(next is a keyword)"]
    assert not seen[-1].targets or seen[-1].rows
    finish(bench, choose(app, "gradient"))
    assert [row.name for row in seen[-1].rows] == ["P(next is a keyword)", "Gradient × direction, layer 1"]
    event = next(part for part in seen[-1].events)
    assert seen[-1].targets == {event - 1}


def test_the_pinned_token_becomes_the_target(bench, trace_file, direction):
    app = finish(bench, choose(opened(), "gradient"))
    event = event_of(bench)
    assert app.session_state["gradients:shown"][1].spec.text.targets == (event - 1,)
    app.session_state[f"{STRIP_KEY}:pin"] |= {"token": event + 3}
    rerun(app)
    app.button(key="attribution_explain").click()
    finish(bench, rerun(app))
    assert app.session_state["gradients:shown"][1].spec.text.targets == (event + 3,)
    assert app.selectbox(key="attribution_target").value == "token"


def test_two_models_are_compared_on_the_same_tokens(bench, trace_file, direction):
    app = finish(bench, choose(opened(), "kl_models"))
    spec = app.session_state["divergence:shown"][1].spec
    assert (spec.text.model, spec.other.model) == tuple(bench.pair.facts(role).spec for role in ("reasoner", "base"))
    assert spec.text.token_ids[spec.text.text_start :] == spec.other.token_ids[spec.other.text_start :]


def test_tokens_that_the_other_model_does_not_read_alike_are_said(bench, direction):
    generation = generation_of(bench)
    app = opened(attribution_source=replace(generation, token_ids=(40, 41, 42, 43, 44, 45, *generation.token_ids[6:])))
    choose(app, "kl_models")
    assert "into different tokens" in words(app)
    choose(app, "cosine")
    assert app.metric[0].label == "Cosine, layer 1"


def test_families_hold_every_method_once():
    keys = [method.key for method in METHODS]
    assert len(set(keys)) == len(keys)
    assert [m.key for family in dict.fromkeys(m.family for m in METHODS) for m in methods_of(family)] == keys


def test_words_of_equation_2_are_set_by_the_reader(bench, direction):
    app = choose(pasted(), "score")
    app.text_input(key="attribution_lens_words").set_value("xyzzy")
    rerun(app)
    assert "contains one of the Eq. 2 words" in words(app)
    assert shown(app).spec.lens_words == ("xyzzy",)


def test_a_stored_result_comes_back_without_a_job(bench, trace_file, direction, monkeypatch):
    first = shown(opened())
    monkeypatch.setattr(bench.engine, "submit", lambda *a, **k: pytest.fail("a job was submitted"))
    assert shown(opened()).spec == first.spec


def test_a_stored_generation_opens_with_its_own_tokens_and_steering(bench, direction):
    edit = SteeringSpec(direction=direction, layer=2, coefficient=3.5)
    generation = generation_of(bench, steering=(edit,))
    app = opened(attribution_source=generation)
    spec = shown(app).spec
    assert spec.token_ids == generation.spec.prompt.token_ids + generation.token_ids
    assert spec.text_start == len(generation.spec.prompt.token_ids)
    assert (spec.layer, spec.coefficient, spec.direction) == (2, 3.5, direction)
    assert pin_of(app) >= spec.text_start
    assert "attribution_source" not in app.session_state


def test_the_other_model_reads_the_text_of_a_generation(bench, direction):
    generation = generation_of(bench)
    app = opened(attribution_source=generation)
    app.selectbox(key="attribution_role").set_value("base")
    rerun(app)
    reading = bench.pair.read("base", "What is 3 plus 4?", generation.text)
    assert shown(app).spec.token_ids == reading.token_ids
    assert shown(app).spec.model == bench.pair.facts("base").spec


def test_handing_over_a_generation_is_session_state(bench, direction, monkeypatch):
    generation, state = generation_of(bench), {}
    monkeypatch.setattr("ui.attribution.form.st.session_state", state)
    open_in_attribution(generation)
    assert state == {"attribution_source": generation}


def test_foreign_tokens_are_said_and_read_again_on_request(bench, direction):
    generation = generation_of(bench)
    foreign = replace(generation, spec=replace(generation.spec, fingerprint="other weights"))
    app = opened(attribution_source=foreign)
    assert "not loaded now" in words(app)
    assert "attribution:shown" not in app.session_state
    app.toggle[0].set_value(True)
    rerun(app)
    reading = bench.pair.read("reasoner", "What is 3 plus 4?", generation.text)
    assert shown(app).spec.token_ids == reading.token_ids


def test_plain_text_without_a_question_is_read_as_the_models_read_it_elsewhere(bench, direction):
    app = pasted(TEXT, "")
    reading = bench.pair.locate("reasoner", "", TEXT)
    assert shown(app).spec.token_ids == reading.token_ids
    assert shown(app).projection.shape == (3, len(reading.token_ids))
    assert "read it without one" in words(app)
    assert not app.error


def test_a_trace_of_plain_text_is_read_with_every_reading(bench, direction):
    plain_text = Trace(trace_id="t", prompt="", text=TEXT, parts=())
    bench.trace_sets.save([plain_text], name="plain", source="notes.txt", form="plain text")
    app = opened(attribution_kind="trace")
    assert shown(app).spec.token_ids == bench.pair.locate("reasoner", "", TEXT).token_ids
    for family in FAMILIES:
        for method in methods_of(family):
            app = opened(**{"attribution_family": family, f"attribution_method:{family}": method.key})
            assert not app.error, (method.key, [box.value for box in app.error])
            assert method.key == "score" or "no such reading" not in words(app), method.key


@pytest.mark.parametrize(
    ("text", "question", "sentence"),
    [
        ("", "Why?", "Write or paste a text"),
        ("   \n", "Why?", "Write or paste a text"),
        ("W", "Why?", "fewer than two tokens"),
        ("wait " * 400, "Why?", "this model reads 512"),
    ],
)
def test_bad_text_gets_its_sentence_and_the_page_stays_usable(bench, direction, text, question, sentence):
    app = pasted(text, question)
    assert sentence in words(app)
    app.text_input(key="attribution_question").set_value("What is 3 plus 4?")
    app.text_area(key="attribution_text").set_value(TEXT)
    rerun(app)
    assert not app.error
    assert len(shown(app).pieces) == len(shown(app).spec.token_ids)


def test_token_ids_beyond_the_vocabulary_get_their_sentence(bench, direction):
    generation = generation_of(bench)
    app = opened(attribution_source=replace(generation, token_ids=(9999, *generation.token_ids[1:])))
    assert "a token id that reasoner does not have" in words(app)
    assert [button.label for button in app.button] == ["Settings", "Try again"]


@pytest.mark.parametrize(
    ("family", "method", "told"), [("Direction", "projection", False), ("Read-out", "p_keyword", True)]
)
def test_readings_of_keywords_say_which_split_forms_count_and_which_do_not(bench, direction, family, method, told):
    """ "Hmm" is "Hm", "m" in the tiny vocabulary; "h" begins other words."""
    app = opened(
        attribution_kind="paste",
        attribution_question="Why?",
        attribution_text=TEXT,
        attribution_family=family,
        **{f"attribution_method:{family}": method},
    )
    said = words(app)
    assert ("By their first token, which begins no other word, count" in said) is told
    assert ("“Hmm” at the start of a line (“Hm”)" in said) is told
    assert ("Not counted, as their first token begins other words too" in said) is told
    assert ("“hmm” after a space (“h”)" in said) is told


def test_no_keywords_is_a_sentence(bench, direction):
    app = pasted()
    app.text_input(key="attribution_keywords").set_value(" , ")
    rerun(app)
    assert "There are no keywords" in words(app)


def test_without_a_fitting_direction_the_next_step_is_said(bench, make_direction):
    app = pasted()
    assert "Extract one" in words(app)
    bench.directions.save(make_direction(64, layer=1))
    assert "d_model is not 32" in words(rerun(app))
    bench.directions.save(make_direction(32, layer=1))
    assert shown(rerun(app)).spec.direction.d_model == 32


def test_a_direction_of_a_deeper_layer_is_refused_in_words(bench, make_direction):
    bench.directions.save(make_direction(32, layer=7))
    assert "has layers 0 to 2" in words(pasted())


def test_empty_lists_say_what_to_do(bench, direction):
    assert "Steering playground" in words(opened(attribution_kind="generation"))
    assert "There are no traces yet" in words(opened(attribution_kind="trace"))


def test_a_busy_engine_is_said_and_can_be_tried_again(bench, direction, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(bench.engine, "_max_live", 0)
        app = pasted()
        assert "The engine is busy" in words(app)
    app.button[-1].click()
    rerun(app)
    assert shown(app).spec.token_ids
    assert not app.error


def test_an_expensive_text_waits_for_the_button(bench, direction, monkeypatch):
    facts = {role: replace(bench.pair.facts(role), d_vocab=10**11) for role in ("base", "reasoner")}
    monkeypatch.setattr(bench.pair, "facts", facts.__getitem__)
    app = pasted()
    assert "attribution:shown" not in app.session_state
    assert "take a while" in words(app)
    next(button for button in app.button if button.label == "Read the text").click()
    rerun(app)
    assert shown(app).spec.token_ids


def test_the_event_button_moves_the_pin_and_fills_the_panel(bench, trace_file, direction):
    app = opened()
    event = event_of(bench)
    app.session_state[f"{STRIP_KEY}:pin"] |= {"token": event - 5}
    rerun(app)
    assert f"Position **{event - 5}**" in words(app)
    assert "Offset **−5** to the next event" in words(app)
    next(button for button in app.button if button.label == "Next event ›").click()
    rerun(app)
    assert pin_of(app) == event
    assert f"Position **{event}**" in words(app)
    app.session_state[f"{STRIP_KEY}:pin"] |= {"token": None}
    assert "No token is pinned" in words(rerun(app))


def test_the_panel_shows_token_and_next_tokens_literally(bench, direction):
    app = pasted("Line <b>one</b>\n![x](https://beacon.example/y.png) `x` $y$ and so on")
    attribution = shown(app)
    token = next(i for i, piece in enumerate(attribution.pieces) if "<" in piece and i >= attribution.spec.text_start)
    app.session_state[f"{STRIP_KEY}:pin"] |= {"token": token}
    rerun(app)
    assert attribution.pieces[token].replace(" ", "␣") in [block.value for block in app.code]
    assert "beacon" not in words(app)
    frame = next_tokens(Readings(attribution=attribution, steered=app.session_state["steered:shown"][1]), token)
    assert list(frame.columns) == ["without", "p", "with", "p steered"]
    assert list(frame["p"]) == sorted(frame["p"], reverse=True)
    assert frame["p"].sum() <= 100.001
    tables = [table.value for table in app.dataframe]
    assert any(list(table.columns) == list(frame.columns) and (table == frame).all().all() for table in tables)


def test_the_table_holds_every_token_of_the_text(bench, trace_file, direction):
    app = opened()
    app.segmented_control(key="attribution_line:form").set_value("Table")
    rerun(app)
    attribution = shown(app)
    table = next(table.value for table in app.dataframe if "position" in table.value.columns)
    np.testing.assert_allclose(table["value"], attribution.projection[1, attribution.spec.text_start :], rtol=1e-6)
    assert list(table["event"]).count("event") == 1


def test_ranges_are_symmetric_robust_and_shared(bench, trace_file, direction):
    app = finish(bench, choose(opened(attribution_lens_words="we"), "lens"))
    attribution, lens = shown(app), app.session_state["lens:1:shown"][1]
    readings = Readings(attribution=attribution, steered=app.session_state["steered:shown"][1]).joined(lens)
    start = attribution.spec.text_start
    methods = [method for method in METHODS if method.available(readings)]
    assert len(methods) == 9
    for method in methods:
        low, high = method.value_range(readings, 1)
        values = np.abs(method.values(readings, 1)[start:])
        assert low == (-high if method.signed else 0)
        assert high >= min(np.percentile(values, 98), method.floor)
    by_key = {method.key: method.value_range(readings, 1) for method in methods}
    assert by_key["p_keyword"] == by_key["p_keyword_steered"]
    assert by_key["projection"][1] == pytest.approx(np.percentile(np.abs(attribution.projection[1, start:]), 98))


def test_colours_do_not_wait_for_lens_or_steering(bench, trace_file, direction, monkeypatch):
    """The first job reads the text; the steered text comes by its own, and a lens only where it is chosen."""
    asked = []
    attribute = bench.attribute
    monkeypatch.setattr(bench, "attribute", lambda spec, *a: asked.append(type(spec).__name__) or attribute(spec, *a))
    app = opened()
    assert asked == ["AttributionSpec", "SteeredSpec"]
    finish(bench, choose(app, "lens"))
    assert asked == ["AttributionSpec", "SteeredSpec", "StreamLensSpec"]


def test_what_costs_more_says_its_time_and_memory_first(bench, trace_file, direction, monkeypatch):
    monkeypatch.setattr("ui.shell.jobs.AUTO_RUN_MACS", 0)
    app = opened()
    app.button(key="attribution:go").click()
    app = finish(bench, rerun(app))
    one = shown(app).seconds
    assert one > 0
    for key, needs in (("gradient", "gradients"), ("exact_steering", "interventions"), ("lens", "lens:1")):
        assert app.button(key="steered:go").label == "Read it steered"
        choose(app, key)
        assert "beside the weights" in words(app)
        assert re.search(r"takes about \d+ s", words(app))
        app.button(key=f"{needs}:go").click()
        app = finish(bench, rerun(app))
        assert app.metric[0].label.startswith(BY_KEY[key].title)


def test_every_layer_is_read_out_on_demand_and_only_what_is_missing(bench, trace_file, direction, monkeypatch):
    monkeypatch.setattr("ui.shell.jobs.AUTO_RUN_MACS", 0)
    app = opened()
    app.button(key="attribution:go").click()
    app = choose(finish(bench, rerun(app)), "lens")
    app.button(key="lens:1:go").click()
    app = finish(bench, rerun(app))
    assert "2 of 3 layers are not read out yet" in words(app)
    app.button(key="lens:all:go").click()
    app = finish(bench, rerun(app))
    assert "not read out yet" not in words(app)
    specs = [StreamLensSpec.of(shown(app).spec, layer) for layer in range(3)]
    assert all(bench.cached(spec) is not None for spec in specs)
    app.slider(key="attribution_read_layer:3").set_value(2)
    rerun(app)
    assert app.metric[0].label == "Logit lens of keywords, layer 2"


def test_keyword_tokens_are_those_whose_text_holds_the_word(bench, direction):
    attribution = shown(pasted("Wait, I wait. Await nothing. WAIT!"))
    found = sorted(keyword_tokens(attribution))
    runs = [i for i in found if i - 1 not in found]
    assert len(runs) == 3
    joined = "".join(attribution.pieces[i] for i in found).casefold().replace(" ", "")
    assert joined.count("wait") == 3


def test_parts_become_token_ranges_without_overlap():
    trace = Trace(
        trace_id="x",
        prompt="q",
        text="abc def. Wait no.",
        parts=(Part(label=LABELS[1], start=0, end=8), Part(label="backtracking", start=8, end=17)),
    )
    spans = [(0, 3), (3, 7), (7, 8), (8, 13), (13, 16), (16, 17)]
    parts, events = place_parts(trace, spans, text_start=4)
    assert parts == ((4, 7, LABELS[1]), (7, 10, "backtracking"))
    assert events == (7,)
    assert place_parts(None, spans, text_start=4) == ((), ())


def test_of_overlapping_parts_a_token_belongs_to_the_one_that_begins_last():
    spans = [(0, 1), (1, 2), (2, 3), (3, 4)]
    outer, inner = Part(label="outer", start=0, end=4), Part(label="inner", start=1, end=3)
    for parts in ((outer, inner), (inner, outer)):
        trace = Trace(trace_id="x", prompt="q", text="abcd", parts=parts)
        assert place_parts(trace, spans, text_start=4)[0] == ((4, 5, "outer"), (5, 7, "inner"))


def test_of_parts_that_begin_in_one_token_the_later_one_is_shown_and_both_are_events():
    spans = [(0, 1), (1, 2), (2, 3)]
    long, short = Part(label="long", start=0, end=3), Part(label="backtracking", start=0, end=1)
    trace = Trace(trace_id="x", prompt="q", text="abc", parts=(long, short))
    assert place_parts(trace, spans, text_start=4) == (((4, 5, "backtracking"),), (4,))
    trace = replace(trace, parts=(short, long))
    assert place_parts(trace, spans, text_start=4) == (((4, 7, "long"),), (4,))


def section(app: AppTest, name: str) -> AppTest:
    app.segmented_control(key="attribution_section").set_value(name)
    return rerun(app)


def more_traces(tmp_path):
    rows = [
        TRACE,
        {**TRACE, "id": "t2", "prompt": "What is 5 plus 6?"},
        {**TRACE, "id": "t3", "text": "W" * 5000, "parts": []},
    ]
    (tmp_path / "demo" / "traces.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")


def test_the_agreement_view_sets_estimates_against_exact_effects(bench, trace_file, direction):
    app = finish(bench, section(opened(), "Agreement"))
    if not app.metric:
        app.button(key="interventions:go").click()
        finish(bench, rerun(app))
    gradients, exact = (app.session_state[f"{name}:shown"][1] for name in ("gradients", "interventions"))
    assert gradients.spec.text == exact.spec.text
    shown_metrics = {metric.label: metric.value for metric in app.metric}
    rho = rank_correlation(exact.spec.coefficient * gradients.along[1], exact.steered)
    assert shown_metrics["Steering: Spearman's ρ, estimate and exact"] == f"{rho:+.2f}"
    assert shown_metrics["Positions edited one by one"] == str(exact.spec.text.targets[0] + 1)
    assert "was not measured on these weights" in words(app)


def test_the_recorded_agreement_is_shown_for_its_own_weights_only(bench, trace_file, direction, tmp_path):
    facts = bench.pair.facts("reasoner")
    (tmp_path / "demo" / AGREEMENT_FILE).write_text(json.dumps({**REPORT, "fingerprint": facts.fingerprint}))
    app = finish(bench, choose(opened(), "gradient"))
    assert "over 24 labelled traces" in words(app)
    assert "+0.50" in words(app)
    (tmp_path / "demo" / AGREEMENT_FILE).write_text(json.dumps(REPORT))
    assert "was not measured on these weights" in words(rerun(app))


def test_anticipation_reads_the_set_with_both_models(bench, trace_file, direction, tmp_path):
    more_traces(tmp_path)
    app = section(opened(), "Anticipation")
    for _ in range(3):
        finish(bench, app)
    assert "2 traces" in words(app)
    assert "reasoning model" in words(app)
    assert "2 readings were left out as too long" in words(app)
    app.selectbox(key="corpus_label").set_value("deduction")
    assert "starts of deduction" in words(rerun(app))


def test_a_stopped_corpus_shows_the_texts_that_were_read(bench, trace_file, direction, tmp_path, monkeypatch):
    more_traces(tmp_path)
    app = finish(bench, section(opened(), "Corpus"))
    specs = app.session_state["corpus:settings:reasoner"].specs
    assert len(specs) > 1
    monkeypatch.setattr("ui.shell.jobs.AUTO_RUN_MACS", 0)
    bench.store.delete("corpus_text", specs[0])
    fresh = section(opened(), "Corpus")
    assert f"{len(specs) - 1} of {len(specs)} texts were read before" in words(fresh)
    assert "Strongest" in words(fresh)
    for spec in specs:
        bench.store.delete("corpus_text", spec)
    fresh = section(opened(), "Corpus")
    assert "were read before" not in words(fresh)
    assert "Strongest" not in words(fresh)


def test_the_corpus_lists_its_extremes_and_opens_a_text_there(bench, trace_file, direction, tmp_path, monkeypatch):
    more_traces(tmp_path)
    opened_texts = []
    monkeypatch.setattr("ui.attribution.corpus._draw_histogram", lambda rows, title: opened_texts.append((rows, title)))
    app = section(opened(), "Corpus")
    for _ in range(2):
        finish(bench, app)
    rows, title = opened_texts[-1]
    assert title == "Projection, layer 1"
    assert set(rows) == {"deduction", "backtracking"}
    strongest, weakest = (table.value for table in app.dataframe[:2])
    assert list(strongest["value"]) == sorted(strongest["value"], reverse=True)
    assert list(weakest["value"]) == sorted(weakest["value"])
    texts = app.session_state["corpus:reasoner:shown"][1]
    corpus = replace(app.session_state["corpus:settings:reasoner"].corpus, texts=texts)
    item = Extreme(text=1, position=corpus.texts[1].spec.text_start + 4, value=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("ui.attribution.corpus.st.session_state", state := {})
        open_text(corpus, item)
    app.session_state["attribution:pin_next"] = state["attribution:pin_next"]
    app.selectbox(key="attribution_trace").set_value(state["attribution_trace"])
    finish(bench, section(app, state["attribution_section"]))
    assert shown(app).spec.token_ids == corpus.texts[1].spec.token_ids
    assert pin_of(app) == item.position


def test_the_other_models_reading_is_aligned_with_this_one(bench, trace_file, direction):
    app = section(opened(), "Compare")
    finish(bench, app)
    body = len(shown(app).spec.token_ids) - shown(app).spec.text_start
    assert f"{body} tokens are shared, 0 stand in one text only" in words(app)
    spec = app.session_state["compare:shown"][1].spec
    assert spec.model == bench.pair.facts("base").spec


def test_two_generations_are_compared_where_they_part(bench, direction):
    edit = SteeringSpec(direction=direction, layer=1, coefficient=40.0)
    first, second = generation_of(bench), generation_of(bench, steering=(edit,))
    app = section(opened(attribution_source=first), "Compare")
    app.segmented_control(key="compare_with").set_value("A stored generation")
    finish(bench, rerun(app))
    assert re.search(r"they part from token|share no token", words(app))
    reading = bench.pair.read("reasoner", "What is 3 plus 4?", second.text)
    assert app.session_state["compare:shown"][1].spec.token_ids == reading.token_ids


def test_directions_of_every_layer_are_read_through_both_unembeddings(bench, trace_file, direction, tmp_path):
    rows = [TRACE, {**TRACE, "id": "t2", "prompt": "What is 5 plus 6?"}]
    (tmp_path / "demo" / "traces.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    app = section(opened(attribution_lens_words="we"), "Direction lens")
    for role in ("base", "reasoner"):
        app.button(key=f"lens:{role}:go").click()
        finish(bench, rerun(app))
    assert "At layer 1: from the base model" in words(app)
    app.toggle(key="lens_table").set_value(True)
    finish(bench, rerun(app))
    table = app.dataframe[0].value
    assert len(table) == 4 * 3
    assert set(table["W_U"]) == {"of the base model", "of the reasoning model"}
    app.segmented_control(key="lens_length").set_value("raw")
    finish(bench, rerun(app))
    raw = app.dataframe[0].value
    lengths = (raw["score"] / table["score"]).to_numpy().reshape(2, 2, 3)
    assert lengths[:, 0] == pytest.approx(lengths[:, 1], rel=1e-4)
    assert (raw["best rank"] == table["best rank"]).all()
    assert (lengths > 0).all()
    assert "At layer 1: from the base model" in words(app)


def test_a_redraw_does_not_cancel_the_lens_that_is_being_read(bench, trace_file, direction, tmp_path, monkeypatch):
    rows = [TRACE, {**TRACE, "id": "t2", "prompt": "What is 5 plus 6?"}]
    (tmp_path / "demo" / "traces.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    app = section(opened(attribution_lens_words="we"), "Direction lens")
    read, gate, begun = bench.attribute, threading.Event(), []

    def slow(spec, caller):
        def work():
            while not gate.is_set():
                yield Progress(0, 1, waiting=True)
            return LayerLens(scores=np.zeros(3, np.float32), ranks=np.ones(3, np.float32), n_items=1)

        if not isinstance(spec, LayerLensSpec):
            return read(spec, caller)
        begun.append(bench.engine.submit("layer_lens", work(), caller=caller))
        return begun[-1]

    monkeypatch.setattr(bench, "attribute", slow)
    for role in ("base", "reasoner"):
        app.button(key=f"lens:{role}:go").click()
        rerun(app)
    rerun(rerun(app))
    job = bench.engine.snapshot(begun[0])
    assert (len(begun), job.live) == (1, True)
    gate.set()
    for _ in range(4):
        bench.engine.wait(begun[-1], 10)
        rerun(app)
    assert len(begun) == 4
