"""The judge against an endpoint that fails in every way: tried again, gone on with, reported, and the key nowhere."""

from __future__ import annotations

import io
import json
import logging
import pickle
import time
from dataclasses import asdict, replace

import pytest

from core.disk import codec
from core.disk.store import Store
from core.engine import Engine
from core.errors import BadInput, JudgeUnavailable
from core.labelling.crew import Pace
from core.labelling.endpoint import Endpoint, JudgeClient, Secret, Unanswered, configured_endpoint
from core.labelling.judge import JudgedBatch, JudgeSpec, batches_of, report_of
from core.labelling.prompt import DEFAULT_PROMPT, Malformed, answer_format, messages_for, parse_answer
from core.labelling.work import judge_traces
from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL
from core.traces.events import LABELS
from core.values import Trace
from tests.judge_stub import KEY, Reply, after, always, by_keyword, running, well

QUICK = Pace(at_once=2, per_minute=10_000, attempts=3, first_pause=0.01)
TRACES = tuple(
    Trace(
        trace_id=f"t{i}",
        prompt=f"What is {i} + 2?",
        text=f"We add {i}. Wait, no. It is {i} indeed. Then we stop. Wait again.",
    )
    for i in range(4)
)
QUESTION = messages_for(prompt="Label.", labels=LABELS, question="", before=(), sentences=("Wait.",))


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv(JUDGE_KEY, KEY)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "cache")
    yield store
    store.close()


def spec_for(stub, **fields):
    return JudgeSpec(endpoint=Endpoint(url=stub.url, model="judge-1"), **({"batch": 3} | fields))


def judged(spec, store, *, traces=TRACES, pace=QUICK):
    """The report of a run to its end, with the store behind it."""
    work = judge_traces(
        spec,
        traces,
        lookup=lambda batch: store.get(JudgedBatch, "judged", batch),
        keep=lambda batch, answer: store.put("judged", batch, answer),
        pace=pace,
    )
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def labels_of(report):
    return [[(part.label, trace.text[part.start : part.end]) for part in trace.parts] for trace in report.traces]


WANT = [
    [
        ("deduction", f"We add {i}."),
        ("backtracking", "Wait, no."),
        ("deduction", f"It is {i} indeed."),
        ("deduction", "Then we stop."),
        ("backtracking", "Wait again."),
    ]
    for i in range(4)
]


def test_every_sentence_gets_the_label_that_the_judge_gives_it(store):
    with running(well) as stub:
        report = judged(spec_for(stub), store)
    assert labels_of(report) == WANT
    assert (report.n_sentences, report.n_labelled, report.problems) == (20, 20, ())
    assert len(stub.asked) == 8
    assert set(stub.paths) == {"/v1/chat/completions"}
    assert set(stub.keys) == {f"Bearer {KEY}"}
    (question,) = (
        q
        for q in stub.asked
        if json.loads(q["messages"][1]["content"])["question"] == "What is 2 + 2?"
        and "Then we stop." in q["messages"][1]["content"]
    )
    assert question["model"] == "judge-1"
    assert question["messages"][0]["content"] == f"{DEFAULT_PROMPT}\n\n{answer_format(LABELS)}"
    material = json.loads(question["messages"][1]["content"])
    assert material["before"].endswith("Wait, no.") or "1" in material["sentences"]


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=429, headers=(("retry-after", "0"),)),
        Reply(status=500),
        Reply(status=503, body="<html>down</html>"),
        Reply(content="no JSON"),
        Reply(content='{"labels": {"1": "deduction"}}'),
        Reply(content='{"labels": {"1": "guessing", "2": "deduction", "3": "deduction"}}'),
        Reply(body="{}"),
        Reply(body="\x00"),
        Reply(body='{"choices": [{"message": {"content": null}}]}'),
    ],
    ids=lambda reply: f"{reply.status} {reply.content or reply.body}"[:30],
)
def test_what_may_pass_is_tried_again(store, bad):
    with running(after(bad)) as stub:
        report = judged(spec_for(stub), store)
    assert labels_of(report) == WANT
    assert len(stub.asked) == 16


def test_a_malformed_answer_is_said_to_be_so_at_the_next_try(store):
    with running(after(Reply(content='{"labels": {"1": "deduction", "2": "wrong", "3": "deduction"}}'))) as stub:
        judged(spec_for(stub, batch=5), store, traces=TRACES[:1])
    first, second = (question["messages"][0]["content"] for question in stub.asked)
    assert "could not be used" not in first
    assert "could not be used: Sentence 4 has no label" in second


def test_a_slow_answer_is_given_up_and_asked_for_again(store, monkeypatch):
    monkeypatch.setattr("core.labelling.work.JudgeClient", lambda endpoint: JudgeClient(endpoint, seconds=0.3))
    with running(after(Reply(seconds=30))) as stub:
        report = judged(spec_for(stub), store)
    assert labels_of(report) == WANT


def test_an_answer_that_drips_is_given_up_as_a_whole():
    def drip():
        while True:
            time.sleep(0.02)
            yield b" "

    with running(always(Reply(pieces=drip))) as stub:
        client = JudgeClient(Endpoint(url=stub.url, model="m"), seconds=0.1)
        with pytest.raises(Unanswered, match="did not finish") as raised:
            client.ask(QUESTION)
        client.close()
    assert raised.value.scope == "once"


def test_a_batch_that_stays_malformed_is_reported_and_the_others_are_labelled(store):
    def script(n_before, sentences):
        return Reply(content="?") if "We add 2." in sentences.values() else well(n_before, sentences)

    with running(script) as stub:
        report = judged(spec_for(stub), store)
    assert len(report.problems) == 1
    assert report.problems[0].startswith("t2, sentences 1 to ")
    assert "not a JSON object" in report.problems[0]
    lost = len(WANT[2]) - len(labels_of(report)[2])
    assert (report.n_sentences, report.n_labelled) == (20, 20 - lost)
    assert [labels for i, labels in enumerate(labels_of(report)) if i != 2] == [WANT[0], WANT[1], WANT[3]]
    assert len(stub.asked) == 7 + QUICK.attempts


def test_a_refused_question_is_reported_without_a_second_try(store):
    refusal = Reply(status=400, body=json.dumps({"error": {"message": f"too long, {KEY}"}}))
    with running(lambda n, s: refusal if "We add 1." in s.values() else well(n, s)) as stub:
        report = judged(spec_for(stub), store)
    (problem,) = report.problems
    assert "refused the question (400): too long, ***" in problem
    assert len(stub.asked) == 8


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=401, body=f"key {KEY} is wrong"), "refused the key"),
        (Reply(status=403), "refused the key"),
        (Reply(status=404), "knows no such address or model"),
    ],
)
def test_a_refusal_of_everything_ends_the_run_at_once(store, reply, said):
    with running(always(reply)) as stub, pytest.raises(JudgeUnavailable, match=said):
        judged(spec_for(stub), store)
    assert len(stub.asked) <= QUICK.at_once


def test_a_redirect_is_not_followed_and_takes_the_key_nowhere(store):
    with running(well) as other:
        away = Reply(status=307, headers=(("location", f"{other.url}/chat/completions"),))
        with running(always(away)) as stub, pytest.raises(JudgeUnavailable, match="points to another address"):
            judged(spec_for(stub), store)
    assert other.asked == []


def test_an_endpoint_that_answers_nothing_is_given_up(store):
    with running(always(Reply(status=500))) as stub, pytest.raises(JudgeUnavailable, match="5 questions in a row"):
        judged(spec_for(stub), store)
    with pytest.raises(JudgeUnavailable, match=r"connection to .* failed"):
        judged(spec_for(stub), store)


def test_a_run_that_broke_off_goes_on_where_it_was(store):
    def breaks(n_before, sentences):
        return Reply(status=401) if "We add 3." in sentences.values() else well(n_before, sentences)

    one_by_one = replace(QUICK, at_once=1)
    with running(breaks) as stub:
        spec = spec_for(stub)
        with pytest.raises(JudgeUnavailable):
            judged(spec, store, pace=one_by_one)
        known = report_of(spec, TRACES, lookup=lambda batch: store.get(JudgedBatch, "judged", batch))
        assert labels_of(known)[:3] == WANT[:3]
        assert known.n_labelled == 15
        assert all("not asked yet" in problem for problem in known.problems)
        stub.script = well
        n_before = len(stub.asked)
        assert labels_of(judged(spec, store, pace=one_by_one)) == WANT
        assert len(stub.asked) - n_before == 2
        assert labels_of(judged(spec, store)) == WANT
        assert len(stub.asked) - n_before == 2


def test_stop_ends_the_job_at_once_and_keeps_what_was_answered(store):
    def script(n_before, sentences):
        return well(n_before, sentences) if "We add 0." in sentences.values() else Reply(seconds=30)

    engine = Engine()
    with running(script) as stub:
        spec = spec_for(stub)
        work = judge_traces(
            spec,
            TRACES,
            lookup=lambda batch: store.get(JudgedBatch, "judged", batch),
            keep=lambda batch, answer: store.put("judged", batch, answer),
            pace=QUICK,
        )
        job_id = engine.submit("judge", work)
        while not (snapshot := engine.snapshot(job_id)).progress.done:
            assert snapshot.live
        engine.stop(job_id)
        assert engine.wait(job_id, 5).state == "cancelled"
    first = batches_of(TRACES[0], spec)[0]
    assert store.get(JudgedBatch, "judged", first) == JudgedBatch(labels=tuple(map(by_keyword, first.sentences)))


@pytest.mark.parametrize("change", [{"prompt": "Other."}, {"labels": ("backtracking", "deduction")}])
def test_another_prompt_or_taxonomy_asks_anew(store, change):
    with running(well) as stub:
        judged(spec_for(stub), store)
        judged(spec_for(stub, **change), store)
        other = spec_for(stub)
        judged(replace(other, endpoint=replace(other.endpoint, model="judge-2")), store)
    assert len(stub.asked) == 24


def test_batches_hold_every_sentence_once_in_order_with_what_stands_before():
    spec = JudgeSpec(endpoint=Endpoint(url="http://localhost/v1", model="m"), batch=2)
    first, second, third = batches_of(TRACES[0], spec)
    assert first.sentences + second.sentences + third.sentences == tuple(text for _, text in WANT[0])
    assert (first.before, second.before) == ((), first.sentences[-2:])
    assert batches_of(replace(TRACES[0], text=" "), spec) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("{" * 5000, "not a JSON object"),
        ('{"labels": ["deduction", "deduction"]}', 'no object "labels"'),
        ('{"labels": {"1": "deduction"}}', "Sentence 2 has no label"),
        ('{"labels": {"1": "deduction", "2": "deduction", "3": "deduction"}}', "There are 3 labels"),
        ('{"labels": {"1": "deduction", "1": "backtracking", "2": "deduction"}}', "two labels"),
        ('{"labels": {"1": "deduction", "2": 7}}', "none of the labels"),
    ],
)
def test_an_answer_that_leaves_a_doubt_is_malformed(answer, reason):
    with pytest.raises(Malformed, match=reason):
        parse_answer(answer, n=2, labels=LABELS)


def test_thoughts_fences_and_spelling_do_no_harm():
    answer = '<think>{"labels": 1}</think>\n```json\n{"labels": {"2": "Adding Knowledge", "1": "BACKTRACKING"}}\n```'
    assert parse_answer(answer, n=2, labels=LABELS) == ("backtracking", "adding-knowledge")


def test_the_endpoint_comes_from_the_environment():
    assert configured_endpoint({}) is None
    found = configured_endpoint({JUDGE_URL: " https://api.example.com/v1/ ", JUDGE_MODEL: "m", JUDGE_KEY: KEY})
    assert found == Endpoint(url="https://api.example.com/v1", model="m")
    assert found.host == "api.example.com"
    for bad in ("ftp://a/v1", "api.example.com", f"https://user:{KEY}@a/v1", f"https://a/v1?key={KEY}", "http://a:x/"):
        with pytest.raises(BadInput) as raised:
            configured_endpoint({JUDGE_URL: bad})
        assert KEY not in str(raised.value)


@pytest.mark.parametrize("key", [f"{KEY}\nx", f"{KEY} x", f"{KEY}é", f"{KEY}\x7f"])
def test_a_key_that_cannot_be_a_header_is_refused_without_showing_it(key):
    with pytest.raises(BadInput) as raised:
        JudgeClient(Endpoint(url="https://a.example/v1", model="m"), environment={JUDGE_KEY: key})
    assert KEY not in str(raised.value)


def test_a_key_does_not_leave_this_machine_unencrypted():
    remote = Endpoint(url="http://judge.example/v1", model="m")
    with pytest.raises(BadInput, match="not encrypted"):
        JudgeClient(remote, environment={JUDGE_KEY: KEY})
    JudgeClient(remote, environment={}).close()


def test_the_key_shows_itself_nowhere():
    secret = Secret(KEY)
    client = JudgeClient(Endpoint(url="https://a.example/v1", model="m"))
    assert (repr(secret), str(secret), f"{secret}") == ("***",) * 3
    assert KEY not in repr(client)
    assert KEY not in repr(client._http.headers)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        codec.key_of("judged", {"key": secret})
    client.close()


def test_a_question_on_its_way_writes_no_key_after_its_client_was_closed(caplog):
    with running(always(Reply(content="{}"))) as stub:
        endpoint = spec_for(stub).endpoint
        loggers, filters = [logging.getLogger(name) for name in ("httpx2", "httpcore2.http11")], []
        for _ in range(2):
            JudgeClient(endpoint).close()
            filters.append([len(logger.filters) for logger in loggers])
    with caplog.at_level(logging.DEBUG):
        for logger in loggers:
            logger.debug("receive_response_headers.complete %s", f"location {KEY}")
    assert [record.getMessage() for record in caplog.records if "location" in record.getMessage()] == [
        "receive_response_headers.complete location ***"
    ] * len(loggers)
    assert filters[0] == filters[1]


def test_no_key_in_store_log_or_export_whatever_happens(store, tmp_path, monkeypatch):
    """The canary goes through success, refusals that send it back, a time-out, bad answers and a fault of ours."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    echo = json.dumps({"error": {"message": f"Bearer {KEY}"}})
    replies = [
        Reply(status=401, body=echo),
        Reply(status=429, body=echo, headers=(("x-echo", KEY),)),
        Reply(status=400, body=echo),
        Reply(status=307, headers=(("location", f"http://127.0.0.1:9/{KEY}"),)),
        Reply(content=KEY),
        Reply(content=json.dumps({"labels": {str(i): KEY for i in range(1, 4)}})),
        Reply(content=json.dumps({"labels": {str(i): KEY for i in range(1, 3)}})),
        Reply(seconds=30),
    ]
    said = []
    try:
        monkeypatch.setattr("core.labelling.work.JudgeClient", lambda endpoint: JudgeClient(endpoint, seconds=0.3))
        for reply in replies:
            with running(always(reply)) as stub:
                try:
                    said.append(repr(judged(spec_for(stub), store, traces=TRACES[:1], pace=QUICK)))
                except JudgeUnavailable as error:
                    said.append(f"{error!r} {error}")
        with running(after(Reply(status=503, headers=(("x-echo", KEY),)))) as stub:
            report = judged(spec_for(stub), store)
            monkeypatch.setattr("core.labelling.work._ask", lambda *args, **fields: 1 / 0)
            said.append(repr(judged(spec_for(stub, prompt="Other."), store, traces=TRACES[:1])))
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    export = "\n".join(json.dumps(asdict(trace)) for trace in report.traces)
    assert labels_of(report) == WANT
    assert "Reply" not in export
    assert "receive_response_headers" in log.getvalue()
    assert KEY not in log.getvalue()
    assert all(KEY not in text for text in (*said, export, repr(spec_for(stub))))
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert files
    assert all(KEY.encode() not in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "fields",
    [{"prompt": " "}, {"prompt": "x" * 9000}, {"batch": 0}, {"endpoint": Endpoint(url="https://a/v1", model="")}],
)
def test_settings_that_cannot_work_are_refused(fields):
    with pytest.raises(BadInput):
        JudgeSpec(**({"endpoint": Endpoint(url="https://a/v1", model="m")} | fields))
    with pytest.raises(BadInput):
        Pace(at_once=0)
