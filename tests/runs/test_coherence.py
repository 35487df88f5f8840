"""One rule of readable text: what each allowance says is written out, and each place that asks gives its answer."""

import itertools
import json
import math
import random
import re
from dataclasses import replace

import pytest

from core.runs.coherence import CHOSEN, ONE_TEXT, REPORTED, Measured, faults_of, is_readable
from core.settings import PROJECT
from core.text.words import measure_text, repeated_ngrams, words_of

CHAINS = PROJECT.parent / "shared" / "data" / "traces"
LENGTHS = (40, 80, 128, 200)
"""Words that a completion of a strip has."""
NLLS = (0.0, 0.2, 0.62, 0.63, 0.7, 0.71, math.nan)
REPETITIONS = (0.0, 0.01, 0.02, 0.021, 0.085, 0.09, 0.1, 0.11, 0.3, 0.31, 0.4)
BASELINES = [(0.2, 0.0), (0.2, 0.05), (math.nan, 0.2)]


def pieces(texts):
    """The repetition of every piece of these lengths of the texts, by length."""
    words = [words_of(text) for text in texts]
    return {
        n: [repeated_ngrams(one[i : i + n]) for one in words for i in range(0, len(one) - n + 1, n)] for n in LENGTHS
    }


def demo_texts():
    return [json.loads(line)["text"] for line in (PROJECT / "demo" / "traces.jsonl").read_text("utf-8").splitlines()]


def measured(repetition):
    return Measured(nll=0.2, repetition=repetition, no_evidence=0, n_texts=1)


def share_called_unreadable(texts, allowed):
    """Of pairs of good pieces of one length, one taken as the baseline of the other."""
    draw, called, n_pairs = random.Random(0), 0, 0
    for repetitions in pieces(texts).values():
        for _ in range(1000):
            baseline, text = draw.choice(repetitions), draw.choice(repetitions)
            called += not is_readable(measured(text), measured(baseline), allowed)
            n_pairs += 1
    return called / n_pairs


def test_good_text_is_not_called_unreadable_for_repeating_more_than_one_other_text():
    assert share_called_unreadable(demo_texts(), ONE_TEXT) < 0.015
    assert share_called_unreadable(demo_texts(), replace(ONE_TEXT, repetition=0.1)) > 0.09
    assert share_called_unreadable(demo_texts(), replace(ONE_TEXT, repetition=0.02)) > 0.1
    every = [repetition for found in pieces(demo_texts()).values() for repetition in found]
    assert sum(repetition > ONE_TEXT.repetition for repetition in every) < 0.01 * len(every)


@pytest.mark.skipif(not CHAINS.exists(), reason="the annotated chains are not on this machine")
@pytest.mark.parametrize("subject", ["causal", "math_logic", "spatial", "probability", "pattern"])
def test_annotated_chains_of_an_8b_model_are_not_called_unreadable(subject):
    chains = json.loads((CHAINS / f"{subject}_annotated_chains.json").read_text("utf-8"))
    texts = [re.sub(r'\["[a-z-]+"\]', "", max(filter(_is_text, chain.values()), key=len)) for chain in chains]
    assert share_called_unreadable(texts, ONE_TEXT) < (0.03 if subject == "pattern" else 0.005)


def _is_text(value):
    return isinstance(value, str)


@pytest.mark.parametrize("loop", ["Wait, no, that is it. ", "So the answer is seven and not eight. ", "wait "])
def test_a_text_that_falls_into_a_loop_is_unreadable(loop):
    for text in demo_texts()[:100]:
        words = text.split()[:50]
        looping = " ".join(words) + " " + loop * (100 // len(loop.split()))
        found = measure_text(looping)
        text = replace(measured(found.repetition), no_evidence=int(bool(found.no_evidence)))
        assert not is_readable(text, measured(0.1), ONE_TEXT)


def test_what_is_wrong_is_said_in_proportion():
    (said,) = faults_of(measured(0.34), measured(0.12), ONE_TEXT)
    assert said == "repeats itself more: 34%, the unsteered text 12%"
    (said,) = faults_of(replace(measured(0.1), nll=1.0), measured(0.1), ONE_TEXT)
    assert said == "0.80 nats per token less likely than the unsteered text"


def written_out(text, baseline, *, share, always, silent):
    """The rule of one place as an inequality."""
    nll, repetition = baseline
    unlikely = not math.isnan(text.nll) and not text.nll <= nll + share * 0.5
    return not silent and not unlikely and text.repetition <= max(share * 2 * repetition, always)


@pytest.mark.parametrize(
    ("allowed", "n", "share", "always", "most_silent"),
    [(ONE_TEXT, 1, 1, 0.3, 0), (REPORTED, 30, 1, 0, 3), (CHOSEN, 104, 0.85, 0, 10)],
)
def test_each_allowance_is_the_rule_of_its_place(allowed, n, share, always, most_silent):
    for nll, repetition, silent, baseline in itertools.product(NLLS, REPETITIONS, (0, 1, 3, 4, 10, 20, 21), BASELINES):
        if silent > n:
            continue
        text = Measured(nll=nll, repetition=repetition, no_evidence=silent, n_texts=n)
        unsteered = Measured(nll=baseline[0], repetition=baseline[1], no_evidence=0, n_texts=n)
        expected = written_out(text, baseline, share=share, always=always, silent=silent > most_silent)
        assert is_readable(text, unsteered, allowed) is expected
        assert is_readable(text, None, allowed) is (silent <= most_silent)
        assert bool(faults_of(text, unsteered, allowed)) is not expected


@pytest.mark.parametrize("ask", ["strip", "choose", "report"])
def test_every_place_asks_this_rule(ask, monkeypatch):
    from core.experiments import statistics
    from core.runs import dose_strip
    from tests import stored_values as sv
    from tests.experiments.outcomes import point

    asked = []
    monkeypatch.setattr(dose_strip, "is_readable", lambda text, baseline, allowed: asked.append(allowed) or False)
    monkeypatch.setattr(statistics, "faults_of", lambda text, baseline, allowed: asked.append(allowed) or ("no",))
    if ask == "strip":
        assert not dose_strip.read_strip([0.0], [sv.generation()])[0].coherent
    else:
        assert not statistics.readable(point("direction", dose=1.0, hits=1, half=ask), None)
    assert asked == [{"strip": ONE_TEXT, "choose": CHOSEN, "report": REPORTED}[ask]]


def test_a_baseline_without_nll_lets_no_known_nll_pass():
    baseline = Measured(nll=math.nan, repetition=0.2, no_evidence=0, n_texts=1)
    for nll, readable in ((0.1, False), (9.0, False), (math.nan, True)):
        text = Measured(nll=nll, repetition=0.0, no_evidence=0, n_texts=1)
        assert is_readable(text, baseline, ONE_TEXT) is readable
