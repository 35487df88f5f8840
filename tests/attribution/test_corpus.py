"""Alignment, curves, AUC and extremes on hand-made values; the corpus reading against the attribution."""

import math

import numpy as np
import pytest

from core.attribution.corpus import (
    AlignedText,
    CorpusTextSpec,
    ProjectionSpec,
    aligned,
    anticipate,
    auc_by_lead,
    auc_of,
    extremes,
)
from core.attribution.one_text import attribute_tokens, project_text, read_corpus_text
from tests.attribution.test_one_text import spec_for
from tests.tiny_models import tiny_loaded


def ramp(events, others, n=60, first=5):
    return AlignedText(values=np.arange(n, dtype=np.float32), first=first, events=events, others=others)


def test_values_are_taken_around_each_place_and_nowhere_outside():
    found = aligned(ramp((), ()), (6, 58), (-2, 0, 2))
    assert np.array_equal(found, [[np.nan, 6, 8], [56, 58, np.nan]], equal_nan=True)
    assert aligned(ramp((), ()), (), (-2, 0)).shape == (0, 2)


def test_a_planted_step_is_anticipated_at_its_lead():
    rng, texts = np.random.default_rng(0), []
    for _ in range(30):
        values = rng.normal(size=120)
        values[60 - 8 : 60] += 5
        texts.append(AlignedText(values=values, first=0, events=(60,), others=(20, 100)))
    found = anticipate(texts)
    lead = {offset: k for k, offset in enumerate(found.events.offsets)}
    assert next(iter(lead)) == -40
    assert list(lead)[-1] == 10
    assert found.auc[lead[-8]] > 0.97
    assert found.auc_low[lead[-9]] < 0.5 < found.auc_high[lead[-9]]
    assert found.events.mean[lead[-1]] == pytest.approx(np.mean([t.values[59] for t in texts]))
    assert found.events.low[lead[-1]] < found.events.mean[lead[-1]] < found.events.high[lead[-1]]
    assert found.others.mean[lead[-1]] == pytest.approx(np.mean([t.values[[19, 99]] for t in texts]))
    assert found.events.n[lead[0]] == 30
    assert (found.others.n[lead[-40]], found.others.n[lead[0]]) == (30, 60)


def test_without_events_there_is_no_value_and_no_fault():
    found = anticipate([ramp((), (30,))])
    assert np.isnan(found.events.mean).all()
    assert np.isnan(found.auc).all()
    assert np.isnan(found.others.low).all()
    assert anticipate([]).auc.shape == (51,)


def test_auc_is_the_share_of_ordered_pairs():
    a, b = np.array([3.0, 1.0, np.nan]), np.array([0.0, 1.0, 2.0])
    assert auc_of(a, b)[0] == pytest.approx((3 + 1.5) / 6)
    assert auc_of(b, b)[0] == pytest.approx(0.5)
    assert all(math.isnan(value) for value in auc_of(a, np.array([])))


def test_extremes_skip_prompts_and_spread_over_texts():
    rows = [np.array([99.0, 5, 4, 3, np.nan]), np.array([99.0, 1, 2, -7, 0])]
    strongest, weakest = extremes(rows, (1, 1), k=3, per_text=2)
    assert [(e.text, e.position, e.value) for e in strongest] == [(0, 1, 5), (0, 2, 4), (1, 2, 2)]
    assert (weakest[0].text, weakest[0].position) == (1, 3)
    assert all(math.isfinite(e.value) for e in weakest)


def test_a_text_of_a_corpus_reads_as_it_does_alone(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    spec = spec_for(loaded, make_direction(loaded.d_model))
    alone = list(attribute_tokens(loaded, spec))[-1]
    names = ("model", "fingerprint", "token_ids", "text_start", "direction", "keywords")
    found = read_corpus_text(loaded, CorpusTextSpec(**{name: getattr(spec, name) for name in names}))
    assert np.array_equal(found.projection, alone.projection)
    assert np.array_equal(found.cosine, alone.cosine)
    assert np.allclose(found.p_keyword, alone.p_keyword, atol=1e-6)
    assert found.pieces == alone.pieces


def test_one_text_gives_at_most_three_of_the_tokens_that_stand_out():
    rows = [np.array([10.0, 9, 8, 7, 6]), np.array([-1.0, -2, -3, -4, -5]), np.array([1.0, 2])]
    strongest, weakest = extremes(rows, (0, 0, 0), k=20)
    assert [(e.text, e.position) for e in strongest] == [(0, 0), (0, 1), (0, 2), (2, 1), (2, 0), (1, 0), (1, 1), (1, 2)]
    assert [(e.text, e.position) for e in weakest] == [(1, 4), (1, 3), (1, 2), (2, 0), (2, 1), (0, 4), (0, 3), (0, 2)]


def test_the_list_ends_at_k_also_where_the_texts_have_more():
    rows = [np.arange(5.0), np.arange(5.0)]
    for k in (1, 4, 6):
        assert [len(found) for found in extremes(rows, (0, 0), k=k)] == [k, k]


def test_a_planted_lead_is_found_and_a_null_is_not():
    rng, texts = np.random.default_rng(1), []
    for _ in range(40):
        values = rng.normal(size=120)
        values[60 - 4] += 6
        texts.append(AlignedText(values=values, first=0, events=(60,), others=(20, 100)))
    planted, null = auc_by_lead(texts, (4, 5))
    assert planted.auc > 0.98
    assert planted.low > 0.9
    assert null.low < 0.5 < null.high
    assert (planted.lead, planted.n_events, planted.n_others) == (4, 40, 80)
    assert auc_by_lead(texts, (4, 5)) == (planted, null)


def test_the_interval_by_text_is_that_of_texts_drawn_again():
    rng = np.random.default_rng(2)
    texts = [
        AlignedText(values=rng.normal(size=40).round(1), first=0, events=(20, 25)[: i % 3], others=(10, 30))
        for i in range(8)
    ]
    found = auc_by_lead(texts, (1,))[0]
    draws, aucs = np.random.default_rng(0), []
    for _ in range(1999):
        drawn = [texts[i] for i in draws.integers(0, 8, 8)]
        sides = [
            np.concatenate([t.values[np.array(p, int) - 1] for t, p in rows])
            for rows in ([(t, t.events) for t in drawn], [(t, t.others) for t in drawn])
        ]
        if len(sides[0]):
            aucs.append(auc_of(*sides)[0])
    assert (found.low, found.high) == pytest.approx(np.percentile(aucs, (2.5, 97.5)))


def test_one_text_with_events_gives_no_interval():
    texts = [ramp((20,), (30,)), ramp((), (30,))]
    found = auc_by_lead(texts, (1, 30))
    assert (found[0].auc, found[0].low, found[0].high) == (0.0, None, None)
    assert (found[1].n_events, found[1].n_others) == (0, 0)


def test_the_projection_alone_is_that_of_the_corpus(tmp_path, make_direction):
    loaded = tiny_loaded(tmp_path)
    spec = spec_for(loaded, make_direction(loaded.d_model, layer=1))
    names = ("model", "fingerprint", "token_ids", "text_start", "direction")
    found = project_text(loaded, ProjectionSpec(**{name: getattr(spec, name) for name in names}))
    whole = list(attribute_tokens(loaded, spec))[-1]
    assert np.allclose(found.values, whole.projection[1], atol=1e-5)
    assert found.pieces == whole.pieces
