"""What is said of an experiment: doses in three units, n in every caption, every setting in the methods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.experiments.values import Fixed, Outcome, SavedPair
from core.experiments.words import TITLES, caption, dose_words, halves_words, is_date, keyword_words, methods
from core.tokens.frames import ChatFrame
from core.values import ModelSpec, PairSpec, Positions, SamplingSpec
from core.weights import hub_fingerprint
from tests.experiments.outcomes import outcome, plan


def test_a_dose_has_three_units_where_they_are_known():
    assert dose_words(6, 16, 1.5) == "6 unit vectors = 38% of the residual norm = 4 times the raw difference of means"
    assert dose_words(6, 0, 0) == "6 unit vectors"


@pytest.mark.parametrize("figure", TITLES)
def test_a_caption_says_of_how_many(figure):
    n = {
        "fig2": "24 questions",
        "map": "24 questions",
        "figB1": "24 questions",
        "fig5": "32 readings",
        "fig6": "40 events",
    }
    assert n.get(figure, "60 ") in caption(outcome(), figure)
    assert caption(Outcome(plan=plan()), figure)


@pytest.mark.parametrize("figure", ["fig2", "map", "figB1"])
def test_what_chose_is_said_not_to_be_reported(figure):
    assert "choosing half" in caption(outcome(), figure)
    assert "reported half" in caption(outcome(), "fig3")


def test_the_methods_name_every_setting():
    said = methods(outcome())
    for part in (
        "fingerprint base-fingerprint, bf16",
        "digest 0123456789abcdef",
        "“backtracking”",
        "Layer 4, window -7..-2",
        "6 unit vectors = 38% of the residual norm",
        "24 questions, and reported on 60 others",
        "up to 128 tokens",
        "temperature 0.7",
        "seeds 0 to 59",
        "random directions (seed 0), 20 of equal norm and ",
        "overall mean",
        "Korn and Graubard",
        "Retrace 0.1.0",
    ):
        assert part in said
    assert "2026-11-26" not in said


def test_only_controls_that_were_measured_are_named():
    made = outcome()
    by_norm = replace(made, reported=tuple(p for p in made.reported if p.match == "norm"))
    assert "of equal coherence" in methods(made)
    assert "(seed 0), 20 of equal norm; " in methods(by_norm)
    assert "of equal coherence" not in methods(by_norm)


def test_a_model_of_the_hub_is_named_by_its_commit():
    spec = ModelSpec(repo_id="owner/model")
    made = replace(
        outcome(plan=plan(pair=PairSpec(base=spec, reasoner=spec))),
        fingerprints=(hub_fingerprint(spec, "abc123"), "digest"),
    )
    assert "commit abc123" in methods(made)
    assert "fingerprint digest" in methods(made)


def test_other_plans_are_said_as_they_are():
    fixed = outcome(plan=plan(fixed=Fixed(layer=4, dose=6.0)))
    assert fixed.choice
    assert "fixed by the plan" in methods(replace(fixed, choice=replace(fixed.choice, n_compared=0)))
    assert "none was readable" in methods(replace(fixed, choice=replace(fixed.choice, readable=False)))
    assert "saved ones (one and two)" in methods(outcome(plan=plan(saved=SavedPair(base="one", reasoner="two"))))
    assert "the same window before other parts" in methods(outcome(plan=plan(negatives="position")))
    steered = methods(outcome(plan=plan(positions=Positions(region="thinking", every=2, until=("wait",)))))
    assert "positions of the reasoning, every 2th, until one of wait" not in steered
    assert "every second one" in steered
    frame = ChatFrame(prefix="Q: ", suffix="\nA:", source="plain")
    assert r"stood in the frame 'Q: …\nA:'" in methods(outcome(plan=plan(frame=frame)))
    assert "the reasoning model's own frame" in methods(outcome())
    assert "top-p 0.9" in methods(outcome(plan=plan(sampling=SamplingSpec(top_p=0.9))))


def test_what_was_given_is_not_said_to_be_chosen():
    chosen = outcome()
    chose, reported = len(chosen.plan.choose), len(chosen.plan.report)
    assert f"were chosen on {chose} questions; these {reported} are others" in halves_words(chosen)
    given = replace(chosen, choice=replace(chosen.choice, n_compared=0))
    assert "were given by the plan" in halves_words(given)
    assert f"not chosen on its {reported} questions" in halves_words(given)


def test_keywords_fit_an_axis():
    assert keyword_words(("wait", "hmm")) == "“wait” or “hmm”"
    assert keyword_words(("a", "b", "c")) == "3 keywords"


@pytest.mark.parametrize(("name", "dated"), [("measured", True), ("Date", True), ("device", False), ("torch", False)])
def test_dates_are_told_from_versions(name, dated):
    assert is_date(name) is dated
