"""The playground under AppTest: runs, the store, faults of use, interrupted runs."""

import pytest

from core.runs import GenerationSpec
from core.values import SamplingSpec
from tests.page_helpers import app_test, save_tiny_pair, start_workbench


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
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
    for key, value in {"pg_tokens": 16, "pg_prompt": "What is 3?", **state}.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception
    return app


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
    assert "Extract one" in said(playground())


def test_a_run_gives_both_lanes_and_is_kept(bench, saved):
    app = run_to_the_end(playground(), bench)
    (table,) = app.dataframe
    assert list(table.value["lane"]) == ["Reasoning model, unsteered", "Reasoning model, steered"]
    assert list(table.value["tokens"]) == [16, 16] or set(table.value["end"]) <= {
        "ended by itself",
        "reached the length limit",
    }
    fresh = playground(pg_direction=saved)
    assert len(fresh.dataframe) == 1
    assert not bench.engine.live()


def test_the_base_model_joins_as_two_more_lanes(bench, saved):
    app = run_to_the_end(playground(pg_lanes="both"), bench)
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
    assert "residual norm" not in caption
