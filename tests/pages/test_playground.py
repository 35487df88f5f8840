"""The playground under AppTest: runs, the store, faults of use, interrupted runs."""

from dataclasses import replace

import pytest

from core.directions.folder import id_of
from core.embedded import questions_for
from core.runs.values import Generation, GenerationSpec, LaneKL
from core.values import Positions, SamplingSpec
from tests.page_helpers import app_test, save_tiny_pair, start_workbench
from ui.playground.program import Extra
from ui.shell.handoff import EXPERIMENT, EXPERIMENT_JOB, PLANNED

THREE = [f"Reasoning model, {what}" for what in ("unsteered", "steered", "random control")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.live.answers_at_once", lambda *_: False)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 5)
    bench.store.close()


@pytest.fixture
def saved(bench, make_direction):
    return bench.directions.save(make_direction(32, layer=1))


def playground(**state):
    app = app_test("playground")
    usual = {"pg_tokens": 16, "pg_prompt": "What is 3?", "pg_share": "numbers"}
    for key, value in {**usual, **state}.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception
    return app


def two_lanes(**state):
    """Without a control, as old links ask for."""
    return playground(**{"pg_lanes": ["baseline", "steered"], **state})


def press_run(app):
    next(button for button in app.button if button.label == "Run").click()
    app.run()
    assert not app.exception
    return app


def run_to_the_end(app, bench):
    press_run(app)
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert not app.exception
    return app


def said(app):
    return " ".join(box.value for kind in ("error", "warning", "info") for box in getattr(app, kind))


def test_without_a_direction_the_next_step_is_said(bench):
    app = playground()
    assert "There is no direction to steer with" in said(app)
    assert {"Find a direction", "Import a direction"} <= {link.proto.label for link in app.get("page_link")}


def labels(elements):
    return [element.label for element in elements]


def test_without_a_direction_both_models_run_unsteered(bench):
    app = playground()
    assert "both answer unsteered" in said(app)
    run_to_the_end(app, bench)
    assert list(app.dataframe[0].value["lane"]) == ["Reasoning model, unsteered", "Base model, unsteered"]
    assert all(not entry.record.generation.spec.steering for entry in bench.history.entries())
    assert "lanes" not in app.query_params
    assert "A strip needs a direction" in said(playground(pg_view="strip"))


def test_a_small_pair_without_a_direction_answers_by_itself_and_one_with_a_direction_waits_for_run(
    bench, make_direction
):
    app = playground(pg_prompt="")
    assert app.session_state["pg_prompt"] in {example.prompt for example in questions_for(bench.pair.spec.reasoner)}
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert list(app.dataframe[0].value["lane"]) == ["Reasoning model, unsteered", "Base model, unsteered"]
    bench.directions.save(make_direction(32, layer=1))
    assert "Press **Run**" in said(playground(pg_prompt="Why?"))
    assert not bench.engine.live()


def test_without_a_direction_one_press_measures_the_first_one_and_its_time_is_said_before(bench):
    app = playground()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert any("against controls: about " in caption.value for caption in app.caption)
    press(app, "Measure a first direction")
    assert app.title[0].value == "Experiments"
    (one,) = bench.experiments.list()
    assert one.plan.saved is None
    assert set(one.plan.figures) == {"fig3", "fig4"}
    assert app.session_state[EXPERIMENT] == one.experiment_id
    assert bench.engine.snapshot(app.session_state[EXPERIMENT_JOB]).live


def test_where_no_traces_are_there_what_is_missing_is_said_instead_of_a_button(bench, monkeypatch):
    monkeypatch.setattr(type(bench.trace_sets), "list", lambda _: [])
    app = playground()
    assert "Measure a first direction" not in labels(app.button)
    assert any("No traces with the label" in caption.value for caption in app.caption)


def test_a_set_without_a_direction_compares_the_two_models(bench):
    app = run_set(playground(pg_view="set", pg_set="examples", pg_set_size=2), bench)
    assert list(app.dataframe[0].value["arm"]) == ["unsteered", "base model"]


def test_no_lane_chosen_is_said(bench, saved):
    assert "Choose at least one lane" in said(playground(pg_lanes=[]))


def test_run_pressed_again_while_it_is_written_starts_nothing(bench, saved):
    app = press_run(playground(pg_tokens=2000))
    (job,) = bench.engine.live()
    app = press_run(app)
    assert [live.job_id for live in bench.engine.live()] == [job.job_id]
    bench.engine.stop(job.job_id)
    bench.engine.wait(job.job_id, 30)
    app.run()
    assert bench.engine.live() == []


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_run_that_is_stopped_after_a_setting_was_changed_keeps_its_lanes(bench, saved, reloaded):
    app = press_run(playground(pg_tokens=2000))
    (job,) = bench.engine.live()
    bench.engine.wait_for_partial(job.job_id, 30)
    if reloaded:
        app = app_test("playground")
        app.query_params["run"] = job.job_id
    for key, value in {"pg_tokens": 2000, "pg_prompt": "What is 4?", "pg_share": "numbers"}.items():
        app.session_state[key] = value
    app.run()
    assert next(button for button in app.button if button.label == "Stop")
    bench.engine.stop(job.job_id)
    bench.engine.wait(job.job_id, 30)
    app.run()
    assert not app.exception
    (table,) = app.dataframe
    assert (list(table.value["lane"]), set(table.value["end"])) == (THREE, {"stopped"})
    assert "The settings have changed since this run." in said(app)


def test_a_run_gives_all_lanes_and_is_kept(bench, saved):
    app = run_to_the_end(playground(), bench)
    (table,) = app.dataframe
    assert list(table.value["lane"]) == THREE
    assert list(table.value["tokens"]) == [16, 16, 16] or set(table.value["end"]) <= {
        "ended by itself",
        "reached the length limit",
    }
    fresh = playground(pg_direction=saved)
    assert len(fresh.dataframe) == 1
    assert not bench.engine.live()


def test_the_base_model_joins_as_two_more_lanes(bench, saved):
    app = run_to_the_end(playground(pg_lanes=["baseline", "steered", "base", "base_steered"]), bench)
    (table,) = app.dataframe
    assert [lane.split(",")[0] for lane in table.value["lane"]] == ["Reasoning model"] * 2 + ["Base model"] * 2


def test_an_empty_and_an_overlong_question_are_sentences(bench, saved):
    assert "empty" in said(press_run(playground(pg_prompt="  ")))
    assert "Shorten" in said(press_run(playground(pg_prompt="long " * 700)))
    assert not bench.engine.live()


def test_positions_that_select_nothing_and_foreign_directions_do_not_break_the_page(bench, saved, make_direction):
    bench.directions.save(make_direction(48, layer=1, seed=9))
    app = playground(pg_direction="0" * 20)
    assert "not on this machine" in said(app)
    assert all("random 9" not in option for box in app.selectbox for option in box.options)


def test_a_direction_of_a_deeper_model_starts_at_a_layer_that_is_there(bench, make_direction):
    bench.directions.save(make_direction(32, layer=20))
    assert playground().session_state["pg_layer"] == 2


def test_an_interrupted_run_is_shown_and_can_be_run_again_or_discarded(bench, saved):
    facts = bench.pair.facts("reasoner")
    spec = GenerationSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        prompt=bench.pair.encode("reasoner", "Why?"),
        sampling=SamplingSpec(max_new_tokens=8),
    )
    run = bench.journal.begin("cutoff", (spec,))
    run.append(9, "Wait", lane=0)
    run.close()
    app = playground()
    assert "was interrupted when the server stopped; its first 1 tokens" in said(app)
    next(button for button in app.button if button.label == "Discard").click()
    app.run()
    assert not app.exception
    assert bench.journal.interrupted() == []


def test_the_address_keeps_what_differs_from_the_defaults(bench, saved):
    app = playground(pg_operator="ablate")
    assert app.query_params["operator"] == "ablate"
    assert app.query_params["direction"] == saved
    assert "seed" not in app.query_params


def test_a_direction_without_residual_norm_offers_two_units(bench, make_direction):
    bench.directions.save(make_direction(32, layer=1))
    app = playground()
    (caption,) = [c.value for c in app.caption if "× unit vector" in c.value]
    assert "raw difference" in caption
    assert "its share of the mean residual norm of reasoner at layer 1 is not known" in caption
    assert "%" not in caption


def found_in(bench, role, make_direction, *, layer, resid_norm, seed):
    """A saved direction of that model and layer."""
    fingerprint = bench.pair.facts(role).fingerprint
    direction = replace(make_direction(32, layer=layer, seed=seed), name=role, fingerprint=fingerprint)
    return bench.directions.save(replace(direction, resid_norm=resid_norm))


def test_a_share_is_of_the_norm_of_the_model_that_is_steered_at_the_layer_where_it_is(bench, make_direction):
    """Found in the base model, added to the reasoning model: 4 is half of 8, whatever the base model's 5 says."""
    base = found_in(bench, "base", make_direction, layer=1, resid_norm=5.0, seed=1)
    found_in(bench, "reasoner", make_direction, layer=1, resid_norm=8.0, seed=2)
    found_in(bench, "base", make_direction, layer=2, resid_norm=20.0, seed=3)

    def caption(**state):
        app = playground(pg_direction=base, pg_coefficient=4.0, **state)
        (said,) = [c.value for c in app.caption if "× unit vector" in c.value]
        return said

    assert "50% of the mean residual norm of reasoner at layer 1 (8)" in caption(pg_layer=1)
    assert "at layer 2 is not known" in caption(pg_layer=2)
    assert playground(pg_direction=base).session_state["pg_coefficient"] == 3.2


def test_doses_of_the_strip_are_shares_of_the_steered_models_norm(bench, make_direction):
    base = found_in(bench, "base", make_direction, layer=1, resid_norm=500.0, seed=1)
    found_in(bench, "reasoner", make_direction, layer=1, resid_norm=100.0, seed=2)
    app = playground(pg_direction=base, pg_view="strip", pg_scale="share")
    assert any("of the mean residual norm of reasoner at layer 1 (100)" in c.value for c in app.caption)
    app = playground(pg_direction=base, pg_view="strip", pg_scale="share", pg_layer=0)
    assert app.session_state["pg_scale"] == "unit"
    assert any("of reasoner at layer 0 is not known" in c.value for c in app.caption)


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception
    return app


def test_a_program_of_two_directions_at_two_layers_runs_and_shows_its_cosine(bench, saved, make_direction):
    other = bench.directions.save(make_direction(32, layer=0, seed=7))
    app = two_lanes(
        pg_direction=saved,
        pg_layers=[2],
        pg_region="completion",
        pg_from=1,
        pg_first=6,
        pg_ramp=3,
        pg_until="wait, hmm",
        pg_more=[Extra(direction_id=other, operator="clamp", coefficient=2.0, layer=0)],
    )
    assert any("cos(" in caption.value for caption in app.caption)
    run_to_the_end(app, bench)
    (steered,) = [s.value.spec for s in bench.store.recent("generation", Generation, 9) if s.value.spec.steering]
    assert [(edit.operator, edit.layer, edit.ramp) for edit in steered.steering] == [
        ("add", 1, 3),
        ("add", 2, 3),
        ("clamp", 0, 3),
    ]
    assert {edit.positions for edit in steered.steering} == {
        Positions(region="completion", start=1, stop=7, until=("wait", "hmm"))
    }
    assert app.query_params["more"] == f"{other}:clamp:2:0"
    assert app.query_params["also"] == "2"


def test_a_saved_direction_does_not_take_the_place_of_the_recorded_one_until_it_is_chosen(
    bench, make_direction, monkeypatch
):
    fingerprint = bench.pair.facts("base").fingerprint
    recorded = replace(make_direction(32, layer=1, seed=4), fingerprint=fingerprint)
    monkeypatch.setattr("ui.directions.choices.recorded_directions", lambda: (recorded,))
    other = bench.directions.save(make_direction(32, layer=1, seed=5))
    assert playground().session_state["pg_direction"] == id_of(recorded)
    assert playground(pg_direction=other).session_state["pg_direction"] == other


def test_directions_are_added_and_removed(bench, saved):
    app = press(playground(), "Add another direction")
    assert len(app.session_state["pg_more"]) == 1
    assert app.session_state["pg_more"][0].direction_id == saved
    press(app, "✕")
    assert app.session_state["pg_more"] == []


def test_the_strip_runs_as_one_job_and_a_picked_dose_is_a_lane_at_once(bench, saved):
    app = playground(pg_view="strip", pg_doses="-8, 0, 4, 8", pg_coefficient=8.0)
    assert "Run the strip" in said(app)
    press(app, "Run the strip")
    (job,) = bench.engine.live() or [None]
    if job:
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert not app.exception
    stored = [s.value.spec for s in bench.store.recent("generation", Generation, 9)]
    assert sorted(spec.steering[0].coefficient if spec.steering else 0 for spec in stored) == [-8, 0, 4, 8]
    (table,) = app.dataframe
    assert list(table.value["lane"]) == ["Reasoning model, unsteered", "Reasoning model, steered"]
    assert any("Coherent:" in caption.value for caption in app.caption)
    fresh = playground(pg_view="strip", pg_doses="-8, 0, 4, 8", pg_coefficient=4.0)
    assert len(fresh.dataframe) == 1
    assert not bench.engine.live()


def test_rows_of_doses_that_are_no_numbers_and_doses_of_ablation_are_explained(bench, saved):
    assert "usual row is used" in said(playground(pg_view="strip", pg_doses="eight, nine"))
    assert "no dose" in said(playground(pg_view="strip", pg_operator="ablate"))


def test_the_control_lane_is_a_random_direction_of_equal_norm(bench, make_direction):
    bench.directions.save(make_direction(32, layer=1, seed=5))
    run_to_the_end(playground(pg_lanes=["baseline", "steered", "control"]), bench)
    stored = [s.value.spec for s in bench.store.recent("generation", Generation, 9)]
    control, steered = sorted((s for s in stored if s.steering), key=lambda s: -len(s.steering[0].direction.provenance))
    assert control.steering[0].direction.norm == steered.steering[0].direction.norm
    assert abs(control.steering[0].direction.cosine(steered.steering[0].direction)) < 0.7


def test_per_token_kl_is_computed_on_demand_and_stays_when_the_numbers_are_closed(bench, saved, monkeypatch):
    app = run_to_the_end(two_lanes(), bench)
    next(toggle for toggle in app.toggle if toggle.label.startswith("Per-token KL")).set_value(True).run()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert not app.exception
    (kl,) = [stored.value for stored in bench.store.recent("lane_kl", LaneKL, 5)]
    assert kl.kl.max() > 0
    drawn = []
    monkeypatch.setattr("ui.playground.lane_view.lanes", lambda lanes, **fields: drawn.append(lanes))
    app.session_state["pg_share"] = None
    app.run()
    assert not app.dataframe
    assert drawn[-1][1].values == tuple(kl.kl.tolist())


def pin_lane_token(app, lane, token):
    app.session_state["lanes:pin"] = {"at": (lane, token), "jump": 1}
    app.run()
    assert not app.exception
    return app


def continue_from_here(app, bench):
    press(app, "Continue from here")
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert not app.exception
    return app


def test_a_fork_from_a_token_is_shown_beside_its_parent_and_kept_in_the_tree(bench, saved):
    app = run_to_the_end(playground(pg_coefficient=9.0), bench)
    app = continue_from_here(pin_lane_token(app, 0, 5), bench)
    parent, fork = [bench.history.find(run_id).generation for run_id in app.session_state["pg_open"]]
    assert parent.spec.steering == ()
    assert fork.token_ids[:5] == parent.token_ids[:5] == fork.spec.prefix
    assert fork.spec.steering[0].positions.start == len(parent.spec.prompt.token_ids) + 5
    assert any("Tree of forks: 2 runs" in box.label for box in app.expander)
    again = playground(pg_open=list(app.session_state["pg_open"]))
    assert list(again.dataframe[0].value["tokens"]) == [len(parent.token_ids), len(fork.token_ids)]
    press(again, "Back to the lanes of the settings")
    assert again.session_state["pg_open"] == []


def test_a_fork_as_in_the_lane_goes_on_as_the_lane_did(bench, saved):
    app = run_to_the_end(playground(pg_coefficient=9.0), bench)
    app.session_state["pg_fork_steering"] = "lane"
    app = continue_from_here(pin_lane_token(app, 1, 7), bench)
    parent, fork = [bench.history.find(run_id).generation for run_id in app.session_state["pg_open"]]
    assert parent.spec.steering
    assert fork.token_ids == parent.token_ids


def test_an_edited_beginning_is_what_the_fork_goes_on_from(bench, saved):
    app = pin_lane_token(run_to_the_end(playground(), bench), 0, 5)
    next(area for area in app.text_area if area.label.startswith("Text before it")).set_value("Wait, no. So")
    fork_id = continue_from_here(app, bench).session_state["pg_open"][1]
    assert bench.history.find(fork_id).generation.text.startswith("Wait, no. So")


def test_a_link_to_runs_that_are_gone_says_so(bench, saved):
    assert "not on this machine any more" in said(playground(pg_open=["0" * 20]))


def test_the_history_finds_pins_notes_opens_and_deletes_runs(bench, saved):
    run_to_the_end(two_lanes(), bench)
    assert len(bench.history.entries()) == 2
    app = two_lanes(pg_view="history", pg_search="no such words")
    assert "Search for fewer" in said(app)
    app = two_lanes(pg_view="history", pg_listed="runs", pg_search="what is 3")
    press(app, "Pin")
    (pinned,) = [entry for entry in bench.history.entries() if entry.record.pinned_at]
    app.text_area(f"pg_note:{pinned.run_id}").set_value("keep this").run()
    app.button(f"pg_save:{pinned.run_id}").click().run()
    assert bench.history.find(pinned.run_id).note == "keep this"
    for entry in bench.history.entries():
        app.checkbox(f"pg_pick:{entry.run_id}").set_value(True).run()
    press(app, "Open 2 side by side")
    assert len(app.dataframe[0].value) == 2
    assert app.session_state["pg_view"] == "lanes"
    app = two_lanes(pg_view="history", pg_listed="runs")
    app.button(f"pg_delete:{pinned.run_id}").click().run()
    assert not app.exception
    assert pinned.run_id not in {entry.run_id for entry in bench.history.entries()}


def test_the_history_lists_what_was_run_side_by_side_and_opens_it_again(bench, saved):
    app = run_to_the_end(two_lanes(pg_coefficient=6.0), bench)
    app.session_state["pg_coefficient"] = 9.0
    run_to_the_end(app, bench)
    assert len(bench.history.entries()) == 3
    app = two_lanes(pg_view="history")
    assert any("2 of 2 comparisons" in caption.value for caption in app.caption)
    rows = [text.value for text in app.markdown if "What is 3" in text.value]
    assert [("9 × unit" in row, "6 × unit" in row, "unsteered" in row) for row in rows] == [
        (True, False, True),
        (False, True, True),
    ]
    next(button for button in app.button if button.key.startswith("pg_pin_all:")).click().run()
    assert not app.exception
    assert sum(entry.record.pinned_at > 0 for entry in bench.history.entries()) == 2
    (pinned,) = [entry for entry in bench.comparisons.entries() if entry.pinned]
    app.button(f"pg_compare:{pinned.comparison.comparison_id}").click().run()
    assert not app.exception
    assert app.session_state["pg_open"] == list(pinned.comparison.run_ids)
    assert list(app.dataframe[0].value["lane"]) == ["Reasoning model, unsteered", "Reasoning model, steered"]
    app = two_lanes(pg_view="history", pg_search="nothing of the kind")
    assert "No comparison holds all of these words" in said(app)
    app = two_lanes(pg_view="history")
    app.button(f"pg_forget:{pinned.comparison.comparison_id}").click().run()
    assert len(bench.comparisons.entries()) == 1
    assert len(bench.history.entries()) == 3


def test_the_same_lanes_run_again_are_one_comparison_and_said_to_be_stored(bench, saved):
    app = run_to_the_end(playground(), bench)
    press_run(app)
    assert any("These lanes were stored" in text.value for text in app.markdown)
    assert len(bench.comparisons.entries()) == 1


def test_a_fork_is_a_comparison_with_its_parent(bench, saved):
    app = run_to_the_end(playground(pg_coefficient=9.0), bench)
    app = continue_from_here(pin_lane_token(app, 0, 5), bench)
    assert bench.comparisons.entries()[0].comparison.run_ids == tuple(app.session_state["pg_open"])


def test_runs_of_before_are_listed_though_nobody_noted_what_they_were_compared_with(bench, saved):
    run_to_the_end(two_lanes(), bench)
    (entry,) = bench.comparisons.entries()
    bench.comparisons.delete(entry.comparison)
    app = two_lanes(pg_view="history")
    assert any("2 of 2 runs" in caption.value for caption in app.caption)


def test_an_empty_history_says_what_to_do(bench, saved):
    assert "every finished run appears here" in said(playground(pg_view="history"))


def test_what_is_shown_can_be_copied_as_code_exported_and_pinned(bench, saved):
    app = run_to_the_end(playground(), bench)
    app.session_state["pg_share"] = "code"
    app.run()
    assert "LANES = [" in app.code[-1].value
    app.session_state["pg_share"] = "files"
    app.run()
    assert not app.exception
    assert {button.label for button in app.get("download_button")} >= {"Markdown", "JSON", "HTML page"}
    app.session_state["pg_share"] = "note"
    app.run()
    press(app, "Pin")
    assert all(entry.record.pinned_at for entry in bench.history.entries())
    press(app, "Unpin")
    assert not any(entry.record.pinned_at for entry in bench.history.entries())


def run_set(app, bench):
    press(app, "Run the set")
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 60)
    app.run()
    assert not app.exception
    return app


def test_a_set_of_prompts_gives_paired_readings_and_opens_one_prompt(bench, saved):
    app = run_set(two_lanes(pg_view="set", pg_set="examples", pg_set_size=3, pg_temperature=0.8), bench)
    (table,) = app.dataframe
    assert list(table.value["arm"]) == ["unsteered", "unsteered, other seeds", "steered"]
    assert len(bench.history.entries()) == 9
    assert any("Noise floor" in text.value for text in app.markdown)
    seeds = {entry.record.generation.spec.sampling.seed for entry in bench.history.entries()}
    assert seeds == {0, 1, 2, 10_007, 10_008, 10_009}
    press(app, "Open its lanes")
    assert len(app.session_state["pg_open"]) == 3


def test_a_stopped_set_shows_the_prompts_that_every_arm_has_answered(bench, saved):
    app = run_set(two_lanes(pg_view="set", pg_set="examples", pg_set_size=3), bench)
    (before,) = app.dataframe
    steered = [e.record.generation.spec for e in bench.history.entries() if e.record.generation.spec.steering]
    last = max(steered, key=lambda spec: spec.sampling.seed)
    bench.history.delete(last)
    app.run()
    assert not app.exception
    assert "5 of 6 completions are there already" in said(app)
    assert "Below are the 2 prompts that every arm has answered" in said(app)
    (table,) = app.dataframe
    assert list(table.value["arm"]) == list(before.value["arm"])
    assert len(app.selectbox(key="pg_set_prompt").options) == 2
    for spec in steered:
        bench.history.delete(spec)
    app.run()
    assert not app.exception
    assert "3 of 6" in said(app)
    assert not app.dataframe


def test_a_stopped_strip_shows_the_doses_that_have_a_text(bench, saved, monkeypatch):
    drawn = []
    monkeypatch.setattr("ui.playground.doses.dose_strip", lambda doses, readings, *a, **fields: drawn.append(readings))
    app = playground(pg_view="strip", pg_doses="-8, 0, 4, 8", pg_coefficient=2.0)
    assert not drawn
    press(app, "Run the strip")
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    by_dose = {
        g.value.spec.steering[0].coefficient: g.value
        for g in bench.store.recent("generation", Generation, 9)
        if g.value.spec.steering
    }
    for dose in (4.0, 8.0):
        bench.store.delete("generation", by_dose[dose].spec)
    cut = replace(by_dose[4.0], stop_reason="cancelled", nll=None)
    bench.store.put("unfinished", cut.spec, cut)
    drawn.clear()
    app = playground(pg_view="strip", pg_doses="-8, 0, 4, 8", pg_coefficient=2.0)
    assert "3 of the doses have a text already" in said(app)
    assert [reading is not None for reading in drawn[-1]] == [True, True, True, False]


def test_at_temperature_zero_the_noise_floor_is_asked_for(bench, saved):
    app = run_set(playground(pg_view="set", pg_set="examples", pg_set_size=2), bench)
    assert any("set a temperature above 0" in text.value for text in app.markdown)


def test_an_uploaded_set_with_answers_has_an_accuracy_and_a_broken_one_a_sentence(bench, saved):
    app = playground(pg_view="set", pg_set="upload")
    assert "Choose a file" in said(app)
    app.file_uploader("pg_file").set_value(
        ("set.jsonl", b'{"prompt": "1 + 1?", "answer": "2"}\n{"prompt": "Why?"}', "x")
    ).run()
    app = run_set(app, bench)
    assert "%" in app.dataframe[0].value["accuracy"][0]
    app.file_uploader("pg_file").set_value(("set.jsonl", b'{"prompt": 3}', "x")).run()
    assert not app.exception
    assert "Line 1" in said(app)
    app.file_uploader("pg_file").set_value(("set.json", b'["1 + 1?", 3, "Why?"]', "x")).run()
    assert "Item 2" in said(app)
    assert not app.error


def test_raw_text_own_templates_and_think_prefixes_change_what_is_read(bench, saved):
    def prompt_of(**state):
        app = run_to_the_end(playground(**state), bench)
        assert not app.exception
        return bench.history.entries()[0].record.generation.spec.prompt

    plain = prompt_of()
    assert plain.text == "<|bos|><|user|>What is 3?<|assistant|><think>\n"
    assert prompt_of(pg_mode="raw").text == "<|bos|>What is 3?"
    assert prompt_of(pg_think="Okay, so").text == plain.text + "Okay, so"
    assert prompt_of(pg_mode="own", pg_before="<|bos|>Q: ", pg_after="\nA:").text == "<|bos|>Q: What is 3?\nA:"


def test_other_keywords_are_counted(bench, saved):
    app = run_to_the_end(playground(pg_keywords="so, but"), bench)
    assert app.query_params["keywords"] == "so, but"
    assert "keywords" in app.dataframe[0].value


def test_a_live_page_runs_by_itself_when_a_setting_changes_and_replays_what_is_stored(bench, saved):
    app = run_to_the_end(two_lanes(pg_live=True, pg_coefficient=6.0), bench)
    for coefficient, stored in ((9.0, 3), (6.0, 3)):
        app.session_state["pg_coefficient"] = coefficient
        app.run()
        for job in bench.engine.live():
            bench.engine.wait(job.job_id, 30)
        app.run()
        assert not app.exception
        assert len(bench.history.entries()) == stored
        assert len(app.dataframe) == 1


def test_a_recorded_direction_opens_at_its_recorded_dose_and_others_at_forty_percent(make_direction):
    from core.directions.direction import DOSE
    from ui.directions.coefficient import default_coefficient
    from ui.directions.residual_norm import ResidualNorm

    plain = replace(make_direction(32), resid_norm=99.0)
    steered, unknown = (ResidualNorm(value=value, model="m", layer=1) for value in (10.0, 0.0))
    assert default_coefficient(plain, steered) == 4.0
    assert default_coefficient(replace(plain, provenance=((DOSE, "0.65"),)), steered) == 6.5
    assert default_coefficient(replace(plain, provenance=((DOSE, "1e9"),)), steered) == 4.0
    assert default_coefficient(plain, unknown) == 39.6
    assert default_coefficient(replace(plain, resid_norm=0.0), unknown) == 12


def to_experiment(app):
    next(button for button in app.button if button.label == "Make it an experiment").click()
    app.run()
    assert not app.exception, [box.value for box in app.exception]
    return app


@pytest.fixture
def twins(bench, make_direction):
    """A direction of the same place in each model, and the fingerprints of the models."""
    ids = {}
    for i, role in enumerate(("base", "reasoner")):
        made = replace(make_direction(32, layer=1, seed=i), fingerprint=bench.pair.facts(role).fingerprint)
        ids[role] = bench.directions.save(replace(made, name=role, provenance=(("label", "backtracking"),)))
    return ids


def test_a_strip_becomes_an_experiment_of_its_direction_and_doses(bench, twins):
    app = playground(pg_direction=twins["base"], pg_view="strip", pg_scale="unit", pg_doses="0, 2, 5")
    to_experiment(app)
    plan = app.session_state[PLANNED]
    assert app.title[0].value == "Experiments"
    assert (plan.saved.base, plan.saved.reasoner) == (twins["base"], twins["reasoner"])
    assert (plan.doses.unit, plan.doses.values, plan.fixed.dose) == ("unit", (2.0, 5.0), None)
    assert plan.sampling.max_new_tokens == 16
    assert "What is 3?" in {example.prompt for example in (*plan.choose, *plan.report)}


def test_a_prompt_set_becomes_an_experiment_at_its_dose(bench, twins):
    app = playground(pg_direction=twins["reasoner"], pg_view="set", pg_coefficient=3.0)
    plan = to_experiment(app).session_state[PLANNED]
    assert plan.saved.base == twins["base"]
    assert (plan.doses.values, plan.fixed.dose) == ((3.0,), 3.0)


def test_what_no_experiment_can_test_is_refused_with_a_sentence(bench, twins, make_direction):
    stranger = bench.directions.save(make_direction(32, layer=1, seed=9))
    app = to_experiment(playground(pg_direction=stranger, pg_view="strip"))
    assert "found in the base model" in said(app).replace("\\", "")
    assert app.title[0].value == "Steering playground"
    app = to_experiment(playground(pg_direction=twins["base"], pg_layer=0, pg_view="strip"))
    assert "at its own layer, 1" in said(app).replace("\\", "")


def test_a_control_stands_beside_every_run_and_is_counted_above_the_lanes(bench, saved):
    app = run_to_the_end(playground(), bench)
    assert list(app.dataframe[0].value["lane"]) == THREE
    (sentence,) = (box.value for box in app.markdown if "One text proves nothing" in box.value)
    assert all(f"{what} **" in sentence for what in ("unsteered", "steered", "random control"))
    assert "lanes" not in app.query_params
    assert "Make it an experiment" in labels(app.button)


def test_an_old_link_keeps_its_lanes_and_says_that_no_control_is_there(bench, saved):
    app = run_to_the_end(playground(pg_lanes=["baseline", "steered"]), bench)
    assert list(app.dataframe[0].value["lane"]) == THREE[:2]
    assert app.query_params["lanes"] == "baseline,steered"
    assert any("No control stands beside it." in box.value for box in app.markdown)


def test_lanes_that_were_stored_without_their_control_are_shown_until_it_is_written(bench, saved):
    run_to_the_end(playground(pg_lanes=["baseline", "steered"]), bench)
    app = playground()
    assert list(app.dataframe[0].value["lane"]) == THREE[:2]
    assert any("were run without their control" in box.value for box in app.caption)
    app = run_to_the_end(app, bench)
    assert list(app.dataframe[0].value["lane"]) == THREE
    assert not any("were run without their control" in box.value for box in app.caption)


def test_the_lanes_lead_to_an_experiment_with_their_direction_and_dose(bench, make_direction):
    found_in(bench, "base", make_direction, layer=1, resid_norm=4.0, seed=1)
    app = run_to_the_end(playground(pg_coefficient=3.0), bench)
    press(app, "Make it an experiment")
    assert app.title[0].value == "Experiments"
    assert app.session_state[PLANNED].doses.values == (3.0,)
