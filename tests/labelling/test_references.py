"""A reference labelling under one form, whoever labels."""

import pytest

from core.disk.store import Store
from core.errors import JudgeUnavailable
from core.jobs import finish
from core.labelling.endpoint import Endpoint
from core.labelling.judge import JudgedBatch, JudgeSpec
from core.labelling.references import at_once, configured_judge, judged_by
from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL
from tests.judge_stub import KEY, Reply, always, running, well
from tests.labelling.test_judge import QUICK, TRACES


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv(JUDGE_KEY, KEY)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "cache")
    yield store
    store.close()


def reference(stub, store):
    return judged_by(
        JudgeSpec(endpoint=Endpoint(url=stub.url, model="judge-1")),
        lookup=lambda batch: store.get(JudgedBatch, "judged", batch),
        keep=lambda batch, answer: store.put("judged", batch, answer),
        pace=QUICK,
    )


def test_a_judge_labels_the_traces_and_is_asked_once(store):
    with running(well) as stub:
        judge = reference(stub, store)
        labelled = finish(judge.label(TRACES))
        assert [trace.text for trace in labelled] == [trace.text for trace in TRACES]
        assert all(trace.parts for trace in labelled)
        n_asked = len(stub.asked)
        assert finish(judge.label(TRACES)) == labelled
        assert len(stub.asked) == n_asked == len(TRACES)
    assert (judge.name, judge.knows_all) == ("judge: judge-1", False)


def test_a_judge_that_refuses_all_says_so(store):
    with running(always(Reply(status=401))) as stub, pytest.raises(JudgeUnavailable):
        finish(reference(stub, store).label(TRACES))


def test_any_labeller_is_a_reference():
    found = at_once("nobody", tuple)
    assert finish(found.label(TRACES)) == TRACES
    assert (found.name, found.knows_all) == ("nobody", True)


def test_the_judge_of_the_environment(monkeypatch):
    monkeypatch.delenv(JUDGE_URL, raising=False)
    monkeypatch.setenv(JUDGE_MODEL, "m")
    assert configured_judge() is None
    monkeypatch.setenv(JUDGE_URL, "http://127.0.0.1:9/v1")
    assert configured_judge() == JudgeSpec(endpoint=Endpoint(url="http://127.0.0.1:9/v1", model="m"))
    monkeypatch.setenv(JUDGE_MODEL, " ")
    assert configured_judge() is None
