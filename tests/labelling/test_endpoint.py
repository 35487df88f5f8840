"""Endpoints that differ from the one that was first thought of: what works, and what is said where it cannot."""

from __future__ import annotations

import base64
import gzip
import json
import resource
import zlib
from urllib.parse import quote

import pytest

from core.errors import JudgeUnavailable
from core.labelling.crew import Pace
from core.labelling.endpoint import Endpoint, JudgeClient, Secret, Unanswered
from core.labelling.judge import JudgeSpec, report_of
from core.labelling.prompt import Malformed, messages_for, parse_answer
from core.labelling.work import judge_traces
from core.settings import JUDGE_KEY
from core.traces.events import LABELS
from core.values import Trace
from tests.judge_stub import KEY, Reply, Stub, always, labelled, running, well

QUESTION = messages_for(prompt="Label.", labels=LABELS, question="", before=(), sentences=("Wait.",))
GOOD = json.dumps({"labels": {"1": "backtracking"}})
TRACES = tuple(Trace(trace_id=f"t{i}", prompt="", text=f"We add {i}. Wait.") for i in range(7))
ONE_BY_ONE = Pace(at_once=1, per_minute=10_000, attempts=2, first_pause=0.01)


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv(JUDGE_KEY, KEY)


def answer(stub: Stub, *, times: int = 1, url: str = "", seconds: float = 5) -> list[str]:
    client = JudgeClient(Endpoint(url=url or stub.url, model="m"), seconds=seconds)
    try:
        return [client.ask(QUESTION) for _ in range(times)]
    finally:
        client.close()


def reason(reply: Reply) -> Unanswered:
    with running(always(reply)) as stub, pytest.raises(Unanswered) as raised:
        answer(stub)
    return raised.value


def completion(message: object, **choice: object) -> str:
    return json.dumps({"choices": [{"message": message} | choice]})


def refusing(name: str, reply: Reply):
    """Refuses while a question has the field, and answers well otherwise."""
    return lambda stub: lambda n_before, sentences: reply if name in stub.asked[-1] else well(n_before, sentences)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=400, body='{"error": {"message": "Unsupported value", "param": "temperature"}}'),
        Reply(status=400, body='{"error": "\'temperature\' does not support 0 with this model."}'),
        Reply(status=422, body='{"detail": [{"loc": ["body", "temperature"], "msg": "extra fields not permitted"}]}'),
        Reply(status=500, body="Temperature must be strictly positive"),
        Reply(body='{"error": {"code": 400, "message": "temperature is deprecated for this model"}}'),
        Reply(body='{"error": "no temperature, please"}'),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:24]}",
)
def test_a_model_that_refuses_a_temperature_is_asked_without_one_from_then_on(reply):
    with running(well) as stub:
        stub.script = refusing("temperature", reply)(stub)
        assert len(answer(stub, times=3)) == 3
    assert ["temperature" in question for question in stub.asked] == [True, False, False, False]


def test_what_was_not_asked_at_temperature_0_is_said():
    with running(well) as stub:
        stub.script = refusing("temperature", Reply(status=400, body="temperature"))(stub)
        assert "takes no temperature" in judged(stub).note
        stub.script = well
        assert judged(stub).note == ""


def test_a_model_without_a_system_role_gets_the_instructions_in_front():
    refusal = Reply(status=400, body='{"error": {"message": "System role not supported"}}')

    def script(n_before, sentences):
        return refusal if stub.asked[-1]["messages"][0]["role"] == "system" else Reply(content=GOOD)

    with running(script) as stub:
        stub.read = lambda question: {"sentences": {"1": "Wait."}}
        assert answer(stub, times=2) == [GOOD, GOOD]
    assert [[message["role"] for message in question["messages"]] for question in stub.asked] == [
        ["system", "user"],
        ["user"],
        ["user"],
    ]
    assert stub.asked[1]["messages"][0]["content"] == "\n\n".join(message["content"] for message in QUESTION)


def test_an_endpoint_that_wants_a_limit_of_tokens_gets_the_one_it_names():
    def script(n_before, sentences):
        if "max_completion_tokens" in stub.asked[-1]:
            return well(n_before, sentences)
        if "max_tokens" in stub.asked[-1]:
            return Reply(status=400, body='{"error": "Use max_completion_tokens instead of max_tokens"}')
        return Reply(status=422, body='{"detail": [{"loc": ["body", "max_tokens"], "msg": "Field required"}]}')

    with running(script) as stub:
        answer(stub, times=2)
    assert len(stub.asked) == 4
    assert "max_tokens" not in stub.asked[-1]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": GOOD}],
        [{"type": "text", "text": GOOD[:9]}, {"type": "output_text", "text": GOOD[9:]}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": '{"labels": 1}'}]}, {"type": "text", "text": GOOD}],
        [{"type": "reasoning", "text": "{"}, GOOD],
        {"type": "text", "text": GOOD},
    ],
)
def test_content_in_parts_is_joined_and_thoughts_among_them_are_passed_over(content):
    with running(always(Reply(content=content))) as stub:
        assert answer(stub) == [GOOD]


@pytest.mark.parametrize(
    "text",
    [
        f"<think>Maybe {{x}} or {{'labels'}}? \\frac{{1}}{{2}}</think>\n{GOOD}",
        f'Let me see. {{"labels": {{"1": "deduction"}}}}? No.</think>```json\n{GOOD}\n```',
        f'[THINK]{{"labels": {{"1": "deduction"}}}} no[/THINK]{GOOD}',
        f"<|channel|>analysis<|message|>{{1}} is going back.<|end|><|channel|>final<|message|>{GOOD}",
        f"{GOOD}\nI hope that {{this}} helps. {{}}",
        '{"why": "it goes back", "labels": {"1": "backtracking"}}',
    ],
)
def test_the_last_object_with_labels_is_the_answer(text):
    assert parse_answer(text, n=1, labels=LABELS) == ("backtracking",)


def test_an_answer_that_ends_within_its_thoughts_is_none():
    with pytest.raises(Malformed, match="ends within its thoughts"):
        parse_answer(f"<think>Perhaps {GOOD}, but then", n=1, labels=LABELS)
    error = reason(Reply(body=completion({"content": "<think>Perhaps"}, finish_reason="length")))
    assert "cut its answer off at its limit of tokens" in error.reason
    error = reason(Reply(body=completion({"content": None, "reasoning_content": "Perhaps"}, finish_reason="stop")))
    assert error.reason.endswith("sent an answer that holds no text: stop.")


WORDS = "the quota is used up"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": WORDS}),
        json.dumps({"error": {"message": WORDS}}),
        json.dumps({"error": {"error": {"message": WORDS}}}),
        json.dumps({"detail": WORDS}),
        json.dumps({"detail": [{"loc": ["body", "messages"], "msg": WORDS}]}),
        json.dumps([{"error": {"code": 400, "message": WORDS, "status": "INVALID"}}]),
        json.dumps({"message": WORDS}),
        json.dumps({"Message": WORDS}),
        json.dumps({"errors": [{"message": WORDS}]}),
        json.dumps({"object": "error", "message": WORDS, "code": 400}),
        json.dumps({"error": True, "message": WORDS}),
        json.dumps({"error": "invalid_request", "description": WORDS}),
        json.dumps({"status": {"unknown": WORDS}}),
        json.dumps(WORDS),
        WORDS,
        f"<html><head><style>p {{}}</style><title>400</title></head><body><p>{WORDS}</p></body></html>",
        f"<p>{WORDS}",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 503])
def test_what_an_endpoint_says_is_in_the_reason_whatever_form_it_has(status, body):
    assert WORDS in reason(Reply(status=status, body=body)).reason


def test_an_error_with_status_200_counts_as_the_error_it_names():
    assert reason(Reply(body='{"error": {"code": 401, "message": "who?"}}')).scope == "job"
    assert reason(Reply(body='{"error": {"code": "429", "message": "slowly"}}')).scope == "once"
    assert reason(Reply(body='{"error": {"code": 400, "message": "no"}}')).scope == "batch"


@pytest.mark.parametrize("ending", ["", "/", "//", "/chat/completions", "/chat/completions/", "/CHAT/Completions"])
def test_an_address_may_be_given_to_its_end(ending):
    with running(well) as stub:
        answer(stub, url=f" {stub.url}{ending}")
    assert stub.paths == ["/v1/chat/completions"]


def bomb(packer) -> bytes:
    """200 MB of spaces before an answer, packed."""
    parts = [packer.compress(b" " * (1 << 20)) for _ in range(200)]
    return b"".join([*parts, packer.compress(GOOD.encode()), packer.flush()])


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    ("encoding", "bits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)], ids=["gzip", "zlib", "raw"]
)
def test_a_packed_answer_is_unpacked_no_further_than_it_may_be_long(encoding, bits, status):
    data = bomb(zlib.compressobj(1, zlib.DEFLATED, bits))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = reason(Reply(status=status, body=data, headers=(("content-encoding", encoding),)))
    assert "sent more than 1 MB" in error.reason or "could not answer now (500)" in error.reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_an_endless_answer_is_read_no_further_than_it_may_be_long():
    def endless():
        while True:
            yield b"x" * 65536

    assert "sent more than 1 MB" in reason(Reply(pieces=endless)).reason


def test_packed_answers_are_read_and_other_packings_are_named():
    body = completion({"content": GOOD}).encode()
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("Identity", body)):
        with running(always(Reply(body=packed, headers=(("content-encoding", encoding),)))) as stub:
            assert answer(stub) == [GOOD]
    assert "packed its answer as 'br'" in reason(Reply(body=body, headers=(("content-encoding", "br"),))).reason
    assert (
        "broke its answer off"
        in reason(Reply(body=gzip.compress(body)[:-9], headers=(("content-encoding", "gzip"),))).reason
    )
    assert "cannot be unpacked" in reason(Reply(body=body, headers=(("content-encoding", "gzip"),))).reason


def judged(stub: Stub, *, seen: list | None = None):
    """The report of a run; the partial values go to `seen`."""
    known: dict = {}
    work = judge_traces(spec_for(stub), TRACES, lookup=known.get, keep=known.__setitem__, pace=ONE_BY_ONE)
    while True:
        try:
            progress = next(work)
        except StopIteration as stop:
            return stop.value
        if seen is not None:
            seen.append(progress.partial)


def spec_for(stub: Stub) -> JudgeSpec:
    return JudgeSpec(endpoint=Endpoint(url=stub.url, model="m"))


def test_reasons_are_counted_and_outlive_a_run_that_is_given_up():
    said = json.dumps({"detail": WORDS})

    def script(n_before, sentences):
        number = int(next(iter(sentences.values()))[7])
        return Reply(status=400, body=said) if number % 2 else labelled(sentences, lambda text: "deduction")

    with running(script) as stub:
        ((found, n),) = judged(stub).reasons
        assert (n, found.endswith(f"refused the question (400): {WORDS}.")) == (3, True)
        stub.script = always(Reply(status=400, body=said))
        seen: list = []
        with pytest.raises(JudgeUnavailable, match=WORDS):
            judged(stub, seen=seen)
        report = report_of(spec_for(stub), TRACES, lookup=lambda batch: None, failed=seen[-1])
        ((found, n),) = report.reasons
    assert (n, WORDS in found) == (5, True)
    assert [line.rpartition(": ")[2] for line in report.problems] == [
        *[f"{WORDS}."] * 5,
        *["They were not asked yet."] * 2,
    ]


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        KEY[:14],
        f"x{KEY[5:]}x",
        quote("sk/a+b=c&d-12345", safe=""),
        base64.b64encode(KEY.encode()).decode(),
        "".join(f"{KEY}," for _ in range(3)),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_a_key_that_is_sent_back_whole_in_part_or_coded_is_not_shown(monkeypatch, status, shown):
    key = "sk/a+b=c&d-12345" if "%" in shown else KEY
    monkeypatch.setenv(JUDGE_KEY, key)
    for body in (f"bad key {shown}", json.dumps({"error": shown}), f"<b>{shown}</b>", " " * 280 + shown):
        said = reason(Reply(status=status, body=body)).reason
        assert not any(shown[i : i + 8] in said for i in range(len(shown) - 7) if shown[i : i + 8] != "bad key ")
        assert "***" in said or len(said) > 200


def test_a_placeholder_for_a_key_does_not_eat_the_answer(monkeypatch):
    for key in ("a", "1", "EMPTY", "deduction"):
        monkeypatch.setenv(JUDGE_KEY, key)
        with running(always(Reply(content=GOOD))) as stub:
            assert answer(stub) == [GOOD]
    assert Secret("a").hide("a label") == "a label"
    assert Secret("EMPTY").hide("key EMPTY") == "key ***"
