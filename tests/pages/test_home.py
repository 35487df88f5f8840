"""Home under AppTest: the claim, the ways in, and the 2×2 of the loaded pair."""

from dataclasses import replace

import pytest

from core.embedded import recorded_claims, recorded_curves
from core.runs.questions import Example
from tests.page_helpers import app_test, save_tiny_pair, start_workbench
from ui.home.arms import arm_notes, directions_of_pair
from ui.home.dose_response import _lines


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.dose_response.example_questions", lambda kind: (Example(prompt="Why?"),) * 2)
    monkeypatch.setattr("ui.home.dose_response.SHARES", (0.5,))
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 5)
    bench.store.close()


def home():
    app = app_test("home")
    assert not app.exception
    return app


def test_without_directions_it_says_what_to_extract(bench):
    assert any("extract one from the base model" in box.value for box in home().info)


def test_the_2x2_runs_live_and_comes_back_from_the_store(bench, make_direction):
    for role, seed in (("base", 1), ("reasoner", 2)):
        direction = replace(
            make_direction(32, layer=1, seed=seed), fingerprint=bench.pair.facts(role).fingerprint, resid_norm=4.0
        )
        bench.directions.save(direction)
    app = home()
    next(button for button in app.button if button.label == "Run it live").click()
    app.run()
    assert not app.exception
    for job in bench.engine.live():
        assert bench.engine.wait(job.job_id, 60).state == "done"
    app.run()
    assert not app.exception
    assert any("2 questions per point" in caption.value for caption in app.caption)
    assert any("CACHED" in caption.value for caption in home().caption)


def save(bench, make_direction, role, seed, name, *, layer=1, **notes):
    direction = replace(
        make_direction(32, layer=layer, seed=seed),
        name=name,
        fingerprint=bench.pair.facts(role).fingerprint,
        resid_norm=4.0,
        provenance=tuple(notes.items()),
    )
    bench.directions.save(direction)
    return direction


def test_the_2x2_takes_two_of_one_place_and_no_control_and_names_them(bench, make_direction):
    pair = (bench.pair.facts("base"), bench.pair.facts("reasoner"))
    place = {"label": "backtracking", "window": "-13..-8"}
    save(bench, make_direction, "base", 1, "mine", **place)
    save(bench, make_direction, "reasoner", 2, "theirs", **place)
    save(bench, make_direction, "base", 3, "newer elsewhere", layer=0, label="backtracking", window="-3..0")
    save(bench, make_direction, "base", 4, "newest control", **place, control="random 1", control_of="x")
    arms = directions_of_pair(pair)
    assert [(role, direction.name) for role, direction in arms] == [("base", "mine"), ("reasoner", "theirs")]
    said = arm_notes(arms)[0].replace("\\", "")
    assert "“mine” (backtracking, offsets -13..-8), found and added at layer 1" in said
    assert len(arm_notes(arms)) == 2


def test_directions_of_two_places_are_added_each_at_its_own_layer_and_said_to_differ(bench, make_direction):
    save(bench, make_direction, "base", 1, "mine", layer=0, label="backtracking", window="-13..-8")
    save(bench, make_direction, "reasoner", 2, "theirs", layer=1, label="backtracking", window="-13..-8")
    app = home()
    assert any("differ in label, window or layer" in caption.value for caption in app.caption)
    next(button for button in app.button if button.label == "Run it live").click()
    app.run()
    (job,) = bench.engine.live()
    cells = bench.engine.wait(job.job_id, 60).result
    steered = {(cell.spec.direction.name, cell.spec.layer) for cell in cells if cell.spec.direction is not None}
    assert steered == {("mine", 0), ("theirs", 1)}


def test_only_a_control_beside_a_direction_is_no_experiment(bench, make_direction):
    save(bench, make_direction, "base", 1, "control", label="backtracking", control="random 1")
    save(bench, make_direction, "reasoner", 2, "theirs", label="backtracking")
    assert any("no direction from both models" in box.value for box in home().info)


def test_a_live_result_stands_beside_the_recorded_one_and_what_a_stopped_run_has_is_shown(
    bench, make_direction, monkeypatch
):
    for role, seed in (("base", 1), ("reasoner", 2)):
        save(bench, make_direction, role, seed, role, label="backtracking")
    facts = (bench.pair.facts("base"), bench.pair.facts("reasoner"))
    recorded = replace(recorded_curves(), fingerprints=(facts[0].fingerprint, facts[1].fingerprint))
    monkeypatch.setattr("ui.home.dose_response.recorded_curves", lambda: recorded)
    lines = _lines(facts, directions_of_pair(facts), 16)
    cells = list(dict.fromkeys(cell for line in lines for cell in line.cells))
    bench.engine.wait(bench.run_cells(cells[:2]), 60)
    app = home()
    assert any("RECORDED" in caption.value for caption in app.caption)
    app.session_state["dose_shown"] = "Measured here"
    app.run()
    assert not app.exception
    assert not any("RECORDED" in caption.value for caption in app.caption)
    assert any("points are there" in caption.value for caption in app.caption)


def test_the_devices_offered_are_those_that_are_here_the_best_at_first(bench, monkeypatch):
    def device():
        return next(box for box in home().selectbox if box.label == "Device")

    assert bench.pair.devices[-1] == "cpu"
    assert tuple(device().options) == bench.pair.devices
    for here in (("cuda", "cuda:1", "cpu"), ("mps", "cpu"), ("cpu",)):
        monkeypatch.setattr(bench.pair, "_devices", here)
        assert (tuple(device().options), device().value) == (here, here[0])


def test_before_torch_is_there_only_the_cpu_is_offered_and_the_list_says_so(bench, monkeypatch):
    monkeypatch.setattr(bench.pair, "_devices", ())
    box = next(box for box in home().selectbox if box.label == "Device")
    assert box.options == ["cpu"]
    assert "once the first models have been loaded" in box.help


def test_what_does_not_hold_on_the_pair_is_said_above_what_does(bench, monkeypatch):
    facts = (bench.pair.facts("base"), bench.pair.facts("reasoner"))
    one = replace(recorded_claims()[0], fingerprints=(facts[0].fingerprint, facts[1].fingerprint))
    failed = [claim for claim in one.claims if not claim.holds]
    assert any("control" in claim.text for claim in failed)
    monkeypatch.setattr("ui.home.claims.recorded_claims", lambda: (one,))
    (said,) = home().warning
    assert all(f"{claim.text}: **no**; {claim.found}" in said.value for claim in failed)
    assert not any(claim.text in said.value for claim in one.claims if claim.holds)
