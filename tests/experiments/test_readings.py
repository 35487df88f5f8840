"""Fig. 5, Fig. 6 and Table C.1 as equations on tiny models and on completions of our own writing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.attribution.corpus import auc_of
from core.attribution.direction_lens import read_direction
from core.attribution.one_text import attribute_tokens
from core.attribution.values import AttributionSpec, LensSpec
from core.disk.store import Store
from core.errors import BadDirection, BadInput
from core.experiments.readings import (
    Head,
    LeadPlan,
    compare_labels,
    label_row,
    label_scores,
    read_leads,
    read_lens,
)
from core.experiments.values import LabelRow
from core.extraction.contrast import contrast
from core.extraction.moments import Moments, MomentsSpec
from core.extraction.passes import record_moments
from core.extraction.shelf import MomentShelf
from core.jobs import Progress, finish, relay
from core.labelling.keywords import KeywordSet, label_by_keywords
from core.labelling.references import Reference, at_once
from core.models.loaded import encode_text
from core.runs.cells import DoseCell, DoseCellSpec
from core.statistics import wilson
from core.text.words import LENS_WORDS
from core.traces.events import digest_of, find_events
from core.values import ModelSpec, Part, Prompt, SamplingSpec, Trace, Window
from tests.tiny_models import tiny_loaded

WINDOW = Window(start=-3, stop=0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("pair")
    models = [tiny_loaded(root / name, seed=seed) for seed, name in enumerate(("base", "reasoner"))]
    named = zip(("base", "reasoner"), models, strict=True)
    heads = [Head(role=role, model=model.spec, fingerprint=model.fingerprint) for role, model in named]
    return models, heads


def finder(models, asked=None):
    by_fingerprint = {model.fingerprint: model for model in models}

    def find(spec, fingerprint):
        if asked is not None:
            asked.append(fingerprint)
        return by_fingerprint[fingerprint]

    return find


class Kept(dict):
    """What was saved, by spec."""

    def save(self, spec, value):
        self[spec] = value


def traces_with_turns(n=10):
    first, rest = "First we add the numbers {i} and 4. ", "So it is seven. Then we stop here. "
    turn = "Wait, that is wrong. "
    found = []
    for i in range(n):
        text = first.format(i=i) + rest * (i % 3 + 1) + turn + rest
        at = text.index(turn)
        others = [text.index("So it"), text.rindex("So it"), text.rindex("Then")]
        parts = [Part(label="deduction", start=k, end=k + 10) for k in others]
        parts.append(Part(label="backtracking", start=at, end=at + len(turn) - 1))
        found.append(Trace(trace_id=f"t{i}", prompt=f"What is {i}?", text=text, parts=tuple(parts)))
    return tuple(found)


def test_every_direction_is_read_through_every_head(pair, make_direction):
    models, heads = pair
    directions = [("base", make_direction(32, layer=1)), ("reasoner", make_direction(32, layer=2, seed=1))]
    kept = Kept()
    rows = finish(read_lens(finder(models), directions, heads, cached=kept.get, save=kept.save))
    assert [(row.source, row.head, row.layer) for row in rows] == [
        ("base", "base", 1),
        ("base", "reasoner", 1),
        ("reasoner", "base", 2),
        ("reasoner", "reasoner", 2),
    ]
    for row, (_, direction), model in zip(rows, [d for d in directions for _ in models], models * 2, strict=True):
        spec = LensSpec(model=model.spec, fingerprint=model.fingerprint, direction=direction, words=LENS_WORDS)
        lens = read_direction(model, spec)
        assert (row.score, row.rank) == (lens.score, lens.best_rank)
    asked = []
    again = finish(read_lens(finder(models, asked), directions, heads, cached=kept.get, save=kept.save))
    assert again == rows
    assert asked == []


def test_a_direction_of_another_width_is_refused(pair, make_direction):
    models, heads = pair
    with pytest.raises(BadDirection):
        finish(read_lens(finder(models), [("base", make_direction(16))], heads, cached=Kept().get, save=Kept().save))


@pytest.fixture
def shelf(tmp_path):
    store = Store(tmp_path / "cache")
    yield MomentShelf(store)
    store.close()


def leads_of(pair, plan, traces, shelf, kept, **more):
    return finish(read_leads(finder(pair[0]), plan, traces, shelf=shelf, cached=kept.get, save=kept.save, **more))


def test_the_direction_is_of_every_other_trace_and_is_tested_on_the_rest(pair, shelf):
    model, head = pair[0][1], pair[1][1]
    traces, kept = traces_with_turns(), Kept()
    plan = LeadPlan(source=head, layer=1, window=WINDOW)
    rows, drawn = leads_of(pair, plan, traces, shelf, kept, leads=(1, 4), shown=2)
    spec = MomentsSpec(
        model=head.model,
        fingerprint=head.fingerprint,
        traces_digest=digest_of(traces[::2]),
        labels=("backtracking",),
        windows=(WINDOW,),
        layers=(1,),
    )
    moments = next(item for item in record_moments(model, traces[::2], spec) if isinstance(item, Moments))
    direction = contrast(moments, "backtracking").at(1, WINDOW)
    before, elsewhere, whole = {1: [], 4: []}, {1: [], 4: []}, []
    for trace in traces[1::2]:
        reading = encode_text(model, trace.prompt, trace.text)
        asked = AttributionSpec(
            model=model.spec,
            fingerprint=model.fingerprint,
            token_ids=reading.token_ids,
            text_start=reading.text_start,
            direction=direction,
            layer=1,
            coefficient=1.0,
            keywords=("wait",),
        )
        values = list(attribute_tokens(model, asked))[-1].projection[1]
        whole.append(values[reading.text_start :])
        for label, columns in (("backtracking", before), ("deduction", elsewhere)):
            for event in find_events(trace, label, spans=reading.spans, text_start=reading.text_start):
                for lead, column in columns.items():
                    column.append(values[event.position - lead])
    for row in rows:
        assert row.source == "reasoner"
        assert row.auc == pytest.approx(auc_of(np.array(before[row.lead]), np.array(elsewhere[row.lead]))[0])
        assert (row.n_events, row.n_others) == (5, 15)
        assert row.low <= row.auc <= row.high
    assert [trace.trace_id for trace in drawn] == ["t1", "t3"]
    for trace, values, source in zip(drawn, whole, traces[1::2], strict=False):
        assert trace.projection == pytest.approx(values.tolist(), abs=1e-5)
        assert "".join(trace.pieces) == source.text
        assert "".join(trace.pieces[trace.events[0] :]).lstrip().startswith("Wait, that")


def test_what_was_projected_is_not_read_again_and_gives_the_same(pair, shelf):
    plan, kept = LeadPlan(source=pair[1][0], layer=2, window=WINDOW), Kept()
    first = leads_of(pair, plan, traces_with_turns(), shelf, kept)
    work = read_leads(finder(pair[0]), plan, traces_with_turns(), shelf=shelf, cached=kept.get, save=None)
    messages = set()

    def noting(progress):
        messages.add(progress.message)
        return progress

    assert finish(relay(work, noting)) == first
    assert messages == {"finding events"}


def test_a_saved_direction_is_tested_on_all_traces(pair, shelf, make_direction):
    plan = LeadPlan(source=pair[1][0], layer=1, window=WINDOW, saved=make_direction(32, layer=1))
    rows, _ = leads_of(pair, plan, traces_with_turns(), shelf, Kept(), leads=(1,))
    assert rows[0].n_events == 10


def test_traces_that_cannot_be_read_are_left_out(pair, shelf, make_direction):
    plan = LeadPlan(source=pair[1][0], layer=1, window=WINDOW, saved=make_direction(32, layer=1))
    long = Trace(
        trace_id="long", prompt="Why?", text="Wait. " * 2000, parts=(Part(label="backtracking", start=0, end=5),)
    )
    rows, drawn = leads_of(pair, plan, (long, *traces_with_turns(3)), shelf, Kept(), leads=(1,))
    assert rows[0].n_events == 3
    assert {trace.trace_id for trace in drawn} == {"t0", "t1", "t2"}
    with pytest.raises(BadInput, match="None of the tested traces can be read"):
        leads_of(pair, plan, (long,), shelf, Kept())


def test_leads_at_which_nothing_can_be_told_have_no_row(pair, shelf, make_direction):
    plan = LeadPlan(source=pair[1][0], layer=1, window=WINDOW, saved=make_direction(32, layer=1))
    traces = traces_with_turns(4)
    rows, _ = leads_of(pair, plan, traces, shelf, Kept(), leads=(1, 500))
    assert [row.lead for row in rows] == [1]
    rows, drawn = leads_of(pair, plan, [replace(t, parts=t.parts[-1:]) for t in traces], shelf, Kept(), leads=(1,))
    assert rows == ()
    assert len(drawn) == 3


def cell(texts, *, coefficient=0.0, direction=None, seed=3, keywords=("wait", "hmm")):
    prompts = tuple(Prompt(question=f"Question {i}?", text="", token_ids=(1,)) for i in range(len(texts)))
    spec = DoseCellSpec(
        model=ModelSpec(repo_id="tiny/reasoner"),
        fingerprint="f",
        direction=direction,
        layer=2 if direction else 0,
        coefficient=coefficient,
        prompts=prompts,
        sampling=SamplingSpec(seed=seed),
        keywords=keywords,
    )
    n = len(texts)
    return DoseCell(
        spec=spec,
        hits=(0,) * n,
        words=(9,) * n,
        repetition=(0.0,) * n,
        nll=(1.0,) * n,
        no_evidence=("",) * n,
        texts=texts,
    )


def by_no(traces):
    """A reference for which the word no turns back."""
    return label_by_keywords(traces, KeywordSet(keywords=("no",)))


def test_a_row_counts_sentences_by_dose():
    texts = ("Wait, no. So it is. No way. Wait here.", "Hmm. Fine.</think>Wait, no. The answer.", "</think>Wait.")
    steered = cell(("Wait. Wait. No.",), coefficient=4.0)
    rows = finish(compare_labels([steered, cell(texts), cell(("No.",), seed=9)], at_once("no-sayer", by_no)))
    assert rows == (
        LabelRow(coefficient=0.0, labeller="no-sayer", n_texts=3, both=1, keyword_only=2, reference_only=2),
        LabelRow(coefficient=4.0, labeller="no-sayer", n_texts=1, both=0, keyword_only=2, reference_only=1),
    )


def test_equal_texts_count_each(make_direction):
    twice = cell(("Wait, no. Hmm.", "Wait, no. Hmm."))
    row = finish(compare_labels([twice], at_once("r", by_no)))[0]
    assert (row.n_texts, row.both, row.keyword_only) == (2, 2, 2)


def test_sentences_that_were_not_judged_are_left_out():
    trace = Trace(trace_id="1", prompt="", text="Wait, no. Wait here. So no. Hmm.")
    judged = replace(
        trace, parts=(Part(label="backtracking", start=0, end=9), Part(label="deduction", start=10, end=20))
    )
    silent = Reference(name="j", label=None, knows_all=False)
    row = label_row([trace], [judged], KeywordSet(), silent, coefficient=0.0)
    assert (row.both, row.keyword_only, row.reference_only) == (1, 1, 0)
    row = label_row([trace], [judged], KeywordSet(), replace(silent, knows_all=True), coefficient=0.0)
    assert (row.both, row.keyword_only, row.reference_only) == (1, 2, 0)


def test_what_the_reference_reports_is_told_of_all_doses():
    def slow(traces):
        yield Progress(1, 2, "asking")
        return tuple(traces)

    work = compare_labels(
        [cell(("A.",)), cell(("B.",), coefficient=1.0)], Reference(name="r", label=slow, knows_all=True)
    )
    assert [(p.done, p.total, p.message) for p in work] == [(0.5, 2, "asking"), (1.5, 2, "asking")]


def test_the_scores_are_those_of_the_counts():
    row = LabelRow(coefficient=0.0, labeller="r", n_texts=9, both=6, keyword_only=2, reference_only=4)
    scores = label_scores(row)
    assert scores.precision == wilson(6, 8)
    assert scores.recall == wilson(6, 10)
    assert scores.f1.mean == pytest.approx(2 * 6 / (2 * 6 + 2 + 4))
    assert scores.f1.low < scores.f1.mean < scores.f1.high < 1
    whole = label_scores(replace(row, keyword_only=0, reference_only=0))
    assert (whole.f1.mean, whole.precision.high) == (1.0, pytest.approx(1.0))
    nothing = label_scores(replace(row, both=0, keyword_only=0, reference_only=0))
    assert all(math.isnan(score.mean) for score in (nothing.precision, nothing.recall, nothing.f1))
