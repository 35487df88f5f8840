"""The labelling page on small traces and a tiny pair: agreement, keywords, a judge on a stub, written traces."""

from __future__ import annotations

import json
import time

import pytest
from streamlit.testing.v1 import AppTest

import core.embedded
from core.labelling.agreement import compare
from core.labelling.keywords import KeywordSet, label_by_keywords
from core.runs.values import Generation
from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL
from core.traces.records import record_of
from core.traces.set_files import EMBEDDED
from core.values import Part, Trace
from core.workbench import Workbench
from tests.judge_stub import KEY, Reply, always, by_keyword, running, well
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from ui.labelling.confusion import CHART_KEY, COLUMN_KEY, ROW_KEY
from ui.labelling.source import VIEW_KEY
from ui.shell.state import workbench

HOSTILE = "![x](https://beacon.example/x.png) <img src=x onerror=alert(1)>"


def make_trace(number: int, sentences: list[tuple[str, str]]) -> Trace:
    text = "".join(f"{sentence} " for sentence, _ in sentences)
    parts, at = [], 0
    for sentence, label in sentences:
        parts.append(Part(label=label, start=at, end=at + len(sentence)))
        at += len(sentence) + 1
    return Trace(trace_id=f"t{number}", prompt=f"What is {number}? {HOSTILE}", text=text, parts=tuple(parts))


TRACES = [
    make_trace(
        number,
        [
            (f"We add {number}.", "deduction"),
            ("Wait, that is wrong.", "backtracking"),
            ("Wait, is it so?", "uncertainty-estimation"),
            (f"Let me go back, {HOSTILE}.", "backtracking"),
            ("It is 4.", "deduction"),
        ],
    )
    for number in range(4)
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch) -> Workbench:
    """A loaded pair, and the small traces and questions in the place of the embedded ones."""
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    monkeypatch.setattr("streamlit.page_link", lambda *args, **kwargs: None)
    for variable in (JUDGE_URL, JUDGE_MODEL, JUDGE_KEY):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "demo").mkdir()
    rows = "\n".join(json.dumps(record_of(trace)) for trace in TRACES)
    (tmp_path / "demo" / "traces.jsonl").write_text(rows)
    questions = [{"prompt": f"What is {n} plus 2?"} for n in range(3)]
    (tmp_path / "demo" / "prompts.json").write_text(json.dumps({"heldout": questions}))
    return start_workbench(tmp_path / "cache", pair, monkeypatch)


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def opened(view: str) -> AppTest:
    app = page_test("labelling")
    app.session_state[VIEW_KEY] = view
    return rerun(app)


def button(app: AppTest, label: str):
    return next(found for found in app.button if found.label.startswith(label))


def press(app: AppTest, label: str) -> AppTest:
    button(app, label).click()
    return rerun(app)


def settled(app: AppTest) -> AppTest:
    for _ in range(3):
        for job in workbench().engine.live():
            workbench().engine.wait(job.job_id, 60)
        rerun(app)
    return app


def said(app: AppTest) -> str:
    """All that the page says, as it reads: the escapes of markdown removed."""
    blocks = [*app.error, *app.warning, *app.info, *app.success, *app.caption, *app.markdown, *app.text, *app.code]
    return " ".join(block.value for block in blocks).replace("\\", "").replace("**", "")


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def table(app: AppTest, column: str) -> list[str]:
    return next(list(frame.value[column]) for frame in app.dataframe if column in frame.value)


def test_the_sets_own_labels_are_compared_with_the_papers_keywords_at_once(bench):
    app = opened("Agreement")
    score = compare(TRACES, label_by_keywords(TRACES, KeywordSet()), only_judged=True).score("backtracking")
    assert metrics(app) == {
        "Precision": f"{score.precision.mean:.1%}",
        "Recall": f"{score.recall.mean:.1%}",
        "F1": f"{score.f1.mean:.1%}",
        "Cohen's κ": f"{score.kappa.mean:.2f}",
    }
    assert metrics(app)["Precision"] == "50.0%"
    assert "20 sentences of 4 traces" in said(app)


def test_the_first_cell_is_the_largest_disagreement_and_its_sentences_are_listed(bench):
    app = opened("Agreement")
    assert {app.session_state[ROW_KEY], app.session_state[COLUMN_KEY]} <= {"backtracking", "uncertainty-estimation", ""}
    app.session_state[ROW_KEY], app.session_state[COLUMN_KEY] = "uncertainty-estimation", "backtracking"
    rerun(app)
    assert table(app, "sentence") == ["Wait, is it so?"] * 4
    assert table(app, "trace") == ["t0", "t1", "t2", "t3"]


def test_a_click_on_the_chart_chooses_its_cell(bench):
    app = opened("Agreement")
    app.session_state[f"{CHART_KEY}:0"] = {"selection": {"cell": [{"reference": "backtracking", "other": "no label"}]}}
    rerun(app)
    assert (app.session_state[ROW_KEY], app.session_state[COLUMN_KEY]) == ("backtracking", "")
    assert table(app, "sentence") == [f"Let me go back, {HOSTILE}."] * 4
    assert HOSTILE not in " ".join(block.value for block in (*app.markdown, *app.caption))


def test_characters_and_all_labels_can_be_shown(bench):
    app = opened("Agreement")
    app.session_state["agreement:unit"] = "character"
    app.session_state["agreement:all"] = True
    rerun(app)
    assert "characters of 4 traces" in said(app)
    assert table(app, "label") == ["deduction", "uncertainty-estimation", "backtracking"]


def test_two_equal_labellings_and_a_set_without_labels_say_what_to_do(bench):
    app = opened("Agreement")
    app.session_state[f"agreement:other:{EMBEDDED}"] = "The set's own labels"
    rerun(app)
    assert "Choose two different ones" in said(app)
    bare = [Trace(trace_id="b", prompt="p", text="We add. Wait.")]
    app = page_test("labelling")
    app.session_state["traces_set"] = bench.trace_sets.save(bare, name="bare")
    rerun(app)
    assert "nothing to compare the keywords with" in said(app)


def test_edited_keywords_are_previewed_saved_and_compared(bench):
    app = opened("Keywords")
    assert "8 sentences in 4 of 4 traces" in said(app)
    app.text_area(key="labelling:words").set_value("go back")
    rerun(app)
    assert table(app, "sentence") == [f"Let me go back, {HOSTILE}."] * 4
    app.text_input(key="labelling:keyword_name").set_value("mine")
    settled(press(app, "Label the set"))
    (saved,) = bench.trace_sets.labellings(EMBEDDED)
    assert (saved.name, saved.counts) == ("mine", {"backtracking": 4})
    app.session_state[VIEW_KEY] = "Agreement"
    app.session_state[f"agreement:other:{EMBEDDED}"] = "mine"
    rerun(app)
    assert metrics(app)["Precision"] == "100.0%"
    app.session_state[VIEW_KEY] = "Keywords"
    rerun(app)
    press(app, "Yes, delete it")
    assert bench.trace_sets.labellings(EMBEDDED) == ()


def test_keywords_that_cannot_be_used_are_refused_in_words(bench):
    app = opened("Keywords")
    app.text_area(key="labelling:words").set_value("123")
    assert "holds no word" in said(rerun(app))
    app.text_area(key="labelling:words").set_value("zebra")
    assert "No sentence holds one of these words" in said(rerun(app))


def test_without_an_endpoint_the_judge_says_how_to_set_it_up(bench):
    app = opened("Judge")
    assert "No judge is set up" in said(app)
    assert JUDGE_URL in said(app)
    assert not [found for found in app.button if found.label == "Ask the judge"]


@pytest.fixture
def judge(monkeypatch):
    """Starts the page on a stub: judge(stub)."""

    def start(stub) -> AppTest:
        monkeypatch.setenv(JUDGE_URL, stub.url)
        monkeypatch.setenv(JUDGE_MODEL, "judge-1")
        monkeypatch.setenv(JUDGE_KEY, KEY)
        app = opened("Judge")
        app.session_state["judge:per_minute"] = 10_000
        return rerun(app)

    return start


def shows(app: AppTest, secret: str) -> bool:
    """Whether the secret is anywhere on the page or in its link."""
    return secret in f"{app} {app.query_params}"


def test_the_judges_labels_are_asked_for_saved_and_compared(bench, judge):
    with running(well) as stub:
        app = judge(stub)
        assert "a key is set" in said(app)
        assert "4 questions for 4 traces" in said(app)
        settled(press(app, "Ask the judge"))
        assert "20 of 20 sentences have a label" in said(app)
        press(app, "Save the labelling")
    assert len(stub.asked) == 4
    (saved,) = bench.trace_sets.labellings(EMBEDDED)
    assert saved.name == "judge: judge-1"
    for trace, parts in zip(TRACES, bench.trace_sets.load_labels(EMBEDDED, saved.name), strict=True):
        assert [part.label for part in parts] == [by_keyword(trace.text[part.start : part.end]) for part in parts]
    assert not shows(app, KEY)


def test_fewer_traces_and_another_prompt_are_asked_as_edited(bench, judge):
    with running(well) as stub:
        app = judge(stub)
        app.number_input(key=f"judge:first:{EMBEDDED}").set_value(2)
        app.text_area(key="judge:prompt").set_value("Label them. All.")
        rerun(app)
        settled(press(app, "Ask the judge"))
        press(app, "Save the labelling")
    assert {question["messages"][0]["content"].split("\n")[0] for question in stub.asked} == {"Label them. All."}
    labels = bench.trace_sets.load_labels(EMBEDDED, "judge: judge-1")
    assert [len(parts) for parts in labels] == [5, 5, 0, 0]


def test_a_refused_key_is_said_and_what_was_answered_can_be_saved(bench, judge):
    def script(n_before, sentences):
        return Reply(status=401, body=KEY) if "We add 3." in sentences.values() else well(n_before, sentences)

    with running(script) as stub:
        app = judge(stub)
        app.session_state["judge:at_once"] = 1
        rerun(app)
        settled(press(app, "Ask the judge"))
        assert "refused the key" in said(app)
        assert "15 of 20 sentences have a label" in said(app)
        assert not shows(app, KEY)
        stub.script = well
        settled(press(app, "Ask the judge"))
        assert "20 of 20 sentences have a label" in said(app)
    assert len(stub.asked) == 5


def test_malformed_answers_are_listed(bench, judge, monkeypatch):
    with running(always(Reply(content="?"))) as stub:
        monkeypatch.setattr("core.labelling.crew.MAX_PAUSE", 0.01)
        settled(press(judge(stub), "Ask the judge"))
        app = judge(stub)
        settled(press(app, "Ask the judge"))
    assert "0 of 20 sentences have a label" in said(app)
    assert any("not a JSON object" in line for line in table(app, "where and why"))
    assert not [found for found in app.button if found.label == "Save the labelling"]


def test_why_questions_were_refused_is_in_the_summary(bench, judge):
    refusal = Reply(status=400, body='{"detail": "The quota is used up"}')
    with running(always(refusal)) as stub:
        app = settled(press(judge(stub), "Ask the judge"))
    assert "0 of 20 sentences have a label" in said(app)
    assert "4 questions: " in said(app)
    assert "refused the question (400): The quota is used up" in said(app)


def test_a_bad_address_is_refused_without_quoting_it(bench, monkeypatch):
    monkeypatch.setenv(JUDGE_URL, f"https://user:{KEY}@judge.example/v1")
    app = opened("Judge")
    assert "holds more than host and path" in said(app)
    assert not shows(app, KEY)


def test_traces_are_written_saved_as_a_set_and_chosen(bench):
    app = opened("Write traces")
    app.number_input(key="write:tokens").set_value(12)
    rerun(app)
    settled(press(app, "Write traces"))
    assert "3 of 3 completions are finished" in said(app)
    app.text_input(key="write:name").set_value("my traces")
    rerun(app)
    press(app, "Save ")
    chosen = app.session_state["traces_set"]
    assert bench.trace_sets.info(chosen).name == "my traces"
    written = bench.trace_sets.load(chosen)
    assert {trace.prompt for trace in written} <= {f"What is {n} plus 2?" for n in range(3)}
    assert all(trace.parts == () and trace.text for trace in written)
    assert app.session_state[VIEW_KEY] == "Keywords"


def test_a_stopped_run_keeps_its_completions_and_goes_on(bench, monkeypatch):
    monkeypatch.setattr("core.runs.work.SET_BATCH", 1)
    app = opened("Write traces")
    app.number_input(key="write:tokens").set_value(100)
    rerun(app)
    button(app, "Write traces").click()
    app.run()
    (job,) = workbench().engine.live()
    while (snapshot := workbench().engine.snapshot(job.job_id)).live and snapshot.progress.done < 1:
        time.sleep(0.01)
    workbench().engine.stop(job.job_id)
    settled(app)
    finished = [text for text in said(app).split(".") if "of 3 completions are finished" in text]
    assert finished
    before = bench.store.recent("generation", Generation, 9)
    assert before
    settled(press(app, "Write traces"))
    assert "3 of 3 completions are finished" in said(app)
    after_stop = {kept.key: kept.stored_at for kept in bench.store.recent("generation", Generation, 9)}
    assert all(after_stop[kept.key] == kept.stored_at for kept in before)


def test_a_list_that_holds_no_question_is_refused(bench):
    app = opened("Write traces")
    app.session_state["write:from"] = "Upload a list"
    rerun(app)
    app.file_uploader(key="write:file").set_value(("list.jsonl", b"{bad\n", "text/plain"))
    assert "holds no question" in said(rerun(app))
    app.file_uploader(key="write:file").set_value(("list.txt", b"Why?\n{bad\nHow?", "text/plain"))
    rerun(app)
    assert app.number_input(key="write:count:2").value == 2
    assert table(app, "line and reason") == ["Line 2: it is not JSON (column 2)."]
