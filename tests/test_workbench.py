"""The façade on a tiny pair: cache, isolation, stop, faults, restart."""

import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.attribution.values import AttributionSpec, LensSpec
from core.directions.direction import Direction
from core.errors import BadDirection, BadInput, ModelUnavailable
from core.extraction.values import ExtractionSpec
from core.forward.edits import SteeringSpec
from core.jobs import Caller, finish
from core.models.loaded import hook_count
from core.runs.cells import DoseCellSpec
from core.runs.values import GenerationSpec, LaneKLSpec
from core.runs.work import run_cell
from core.traces.events import digest_of
from core.values import PAPER_WINDOW, ModelSpec, PairSpec, SamplingSpec, Window
from core.workbench import Workbench
from tests.extraction.test_passes import make_traces
from tests.tiny_models import tiny_folder

FULL = os.environ.get("RETRACE_FULL") == "1"
A1_ROUNDS = 50 if FULL else 10
A2_JOBS = 200 if FULL else 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("pair")
    base = tiny_folder(root, seed=1, name="base", chat_template=None)
    reasoner = tiny_folder(root, seed=2, name="reasoner")
    return PairSpec(base=ModelSpec(repo_id=str(base)), reasoner=ModelSpec(repo_id=str(reasoner)))


@pytest.fixture
def bench(pair, tmp_path):
    bench = Workbench(tmp_path / "cache")
    assert bench.engine.wait(bench.load_pair(pair), 60).state == "done"
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
    bench.store.close()


def spec_of(bench, question="What is 3 plus 4?", *, role="reasoner", steering=(), n=8, **sampling):
    facts = bench.pair.facts(role)
    return GenerationSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        prompt=bench.pair.encode(role, question),
        sampling=SamplingSpec(max_new_tokens=n, **sampling),
        steering=tuple(steering),
    )


def run(bench, *specs, owner=""):
    snapshot = bench.engine.wait(bench.generate(specs, Caller(owner=owner)), 60)
    assert snapshot.state == "done", snapshot.error
    return snapshot.result


def steer(make_direction, coefficient=9.0, **fields):
    return SteeringSpec(direction=make_direction(32, layer=1), layer=1, coefficient=coefficient, **fields)


def test_lanes_of_both_models_run_in_one_job(bench, make_direction):
    specs = [spec_of(bench), spec_of(bench, steering=[steer(make_direction)]), spec_of(bench, role="base")]
    lanes = run(bench, *specs)
    assert [lane.spec for lane in lanes] == specs
    assert all(len(lane.token_ids) == 8 or lane.stop_reason == "eos" for lane in lanes)
    assert all(lane.nll > 0 for lane in lanes)
    assert lanes[0].token_ids != lanes[1].token_ids


def test_a_stored_run_is_not_computed_again(bench, monkeypatch):
    spec = spec_of(bench)
    assert bench.cached(spec) is None
    (first,) = run(bench, spec)
    assert bench.cached(spec) == first
    monkeypatch.setattr("core.runs.lanes.stream_completions", lambda *a, **k: pytest.fail("a forward was repeated"))
    assert run(bench, spec) == (first,)


def test_a11_any_change_of_what_a_run_depends_on_is_a_miss(bench, make_direction):
    spec = spec_of(bench, steering=[steer(make_direction)], temperature=0.5)
    run(bench, spec)
    edit = spec.steering[0]
    changed = [
        replace(spec, fingerprint="other weights, tokenizer or template"),
        replace(spec, model=replace(spec.model, precision="bf16")),
        replace(spec, model=replace(spec.model, precision="nf4")),
        replace(spec, fingerprint="weights:" + "0" * 64),
        replace(spec, sampling=replace(spec.sampling, seed=1)),
        replace(spec, sampling=replace(spec.sampling, max_new_tokens=9)),
        replace(spec, steering=(replace(edit, coefficient=9.5),)),
        replace(spec, steering=(replace(edit, layer=0),)),
        replace(spec, steering=(replace(edit, operator="clamp"),)),
        replace(spec, steering=(replace(edit, direction=make_direction(32, layer=1, seed=5)),)),
        replace(spec, prompt=replace(spec.prompt, token_ids=spec.prompt.token_ids[:-1])),
    ]
    assert [bench.cached(other) for other in changed] == [None] * len(changed)
    assert bench.cached(replace(spec)) is not None
    elsewhere = replace(spec.model, device="cuda", repo_id="maker/the-same", revision="abc")
    assert bench.cached(replace(spec, model=elsewhere)) is not None, "the same weights elsewhere"


def test_a1_sessions_do_not_disturb_each_other(bench, make_direction):
    long = spec_of(bench, steering=[steer(make_direction)], n=60)
    solo_steered = run(bench, long)[0].token_ids
    solo_plain = run(bench, spec_of(bench))[0].token_ids
    wrong, stop = [], threading.Event()

    def session_a():
        for seed in range(1000):
            if stop.is_set():
                return
            (lane,) = run(bench, replace(long, sampling=replace(long.sampling, seed=seed)), owner="a")
            wrong.extend(["a"] if lane.token_ids != solo_steered else [])

    thread = threading.Thread(target=session_a)
    thread.start()
    for seed in range(A1_ROUNDS):
        (lane,) = run(bench, spec_of(bench, seed=seed + 1), owner="b")
        wrong.extend(["b"] if lane.token_ids != solo_plain else [])
    stop.set()
    thread.join(60)
    assert wrong == []


def wait_for_tokens(bench, job_id):
    while (job := bench.engine.snapshot(job_id)).live and not job.progress.partial:
        time.sleep(0.002)


def test_a2_jobs_of_every_ending_leave_a_clean_model(bench, make_direction, monkeypatch):
    plain = run(bench, spec_of(bench))[0].token_ids
    models = [bench.pair.model_of(f.spec, f.fingerprint) for f in map(bench.pair.facts, ("base", "reasoner"))]
    for number in range(A2_JOBS):
        spec = spec_of(bench, steering=[steer(make_direction)], n=400 if number % 4 == 1 else 6, seed=number)
        if number % 4 == 0:
            run(bench, spec)
        elif number % 4 == 1:
            job_id = bench.generate([spec])
            wait_for_tokens(bench, job_id)
            bench.engine.stop(job_id)
            assert bench.engine.wait(job_id, 5).state in ("cancelled", "done")
        elif number % 4 == 2:
            with monkeypatch.context() as patch:
                patch.setattr("core.runs.generation._sample", lambda *a: 1 / 0)
                assert bench.engine.wait(bench.generate([spec]), 5).state == "error"
        else:
            with pytest.raises(BadDirection, match="NaN"):
                Direction.from_raw(np.full(32, np.nan, np.float32), name="bad", layer=1)
        assert [hook_count(model) for model in models] == [0, 0]
    bench.store.clear()
    assert run(bench, spec_of(bench))[0].token_ids == plain


def test_a3_stop_at_token_5_idles_the_engine_and_the_next_run_is_right(bench, make_direction):
    plain = run(bench, spec_of(bench))[0].token_ids
    bench.store.clear()
    job_id = bench.generate([spec_of(bench, steering=[steer(make_direction)], n=2000 // 5, temperature=1.0)])
    wait_for_tokens(bench, job_id)
    asked = time.monotonic()
    bench.engine.stop(job_id)
    bench.engine.wait(job_id, 5)
    assert time.monotonic() - asked <= 1.0
    assert bench.engine.live() == []
    assert run(bench, spec_of(bench))[0].token_ids == plain


@pytest.mark.parametrize("at_forward", [1, 7])
def test_a5_out_of_memory_is_a_sentence_and_the_next_jobs_work(bench, make_direction, at_forward, monkeypatch):
    plain = run(bench, spec_of(bench))[0].token_ids
    bench.store.clear()
    import core.runs.generation as generation

    forward, calls = generation.next_logits, []

    def runs_out(loaded, batch):
        calls.append(1)
        if len(calls) == at_forward:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB")
        return forward(loaded, batch)

    monkeypatch.setattr(generation, "next_logits", runs_out)
    spec = spec_of(bench, steering=[steer(make_direction)], n=20)
    snapshot = bench.engine.wait(bench.generate([spec]), 10)
    assert snapshot.state == "error"
    assert "ran out of memory" in snapshot.error.problem
    assert len(bench.unfinished(spec).token_ids) == at_forward - 1
    for seed in range(3):
        assert run(bench, spec_of(bench, seed=seed))[0].token_ids == plain


def test_stopped_text_is_kept_apart_from_whole_runs(bench):
    spec = spec_of(bench, n=400, temperature=1.0)
    job_id = bench.generate([spec])
    while not bench.engine.snapshot(job_id).progress.partial:
        time.sleep(0.002)
    bench.engine.stop(job_id)
    snapshot = bench.engine.wait(job_id, 5)
    if snapshot.state == "cancelled":
        assert bench.cached(spec) is None
        left = bench.unfinished(spec)
        assert left.stop_reason == "cancelled"
        assert len(left.token_ids) >= 1


def test_extraction_attribution_lens_and_cells_run_and_are_kept(bench):
    traces = make_traces()
    facts = {role: bench.pair.facts(role) for role in ("base", "reasoner")}
    spec = ExtractionSpec(
        model=facts["base"].spec,
        fingerprint=facts["base"].fingerprint,
        traces_digest=digest_of(traces),
        windows=(PAPER_WINDOW, Window(start=-4, stop=0)),
        layers=(0, 1, 2),
    )
    done = bench.engine.wait(bench.extract(spec, traces), 60)
    assert done.state == "done", done.error
    direction = bench.cached(spec).at(1, PAPER_WINDOW)
    assert bench.directions.load(bench.directions.save(direction)).digest == direction.digest

    reading = bench.pair.read("reasoner", traces[0].prompt, traces[0].text)
    attribution_spec = AttributionSpec(
        model=facts["reasoner"].spec,
        fingerprint=facts["reasoner"].fingerprint,
        token_ids=reading.token_ids,
        text_start=reading.text_start,
        direction=direction,
        layer=1,
        coefficient=4.0,
        keywords=("wait",),
    )
    assert bench.engine.wait(bench.attribute(attribution_spec), 60).state == "done"
    assert bench.cached(attribution_spec).projection.shape == (3, len(reading.token_ids))

    lens = LensSpec(
        model=facts["base"].spec, fingerprint=facts["base"].fingerprint, direction=direction, words=("wait",)
    )
    assert bench.engine.wait(bench.read_direction(lens), 60).result == bench.cached(lens)


def test_a_cell_is_the_single_runs_of_its_prompts(bench, make_direction):
    facts = bench.pair.facts("reasoner")
    spec = DoseCellSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        direction=make_direction(32, layer=1),
        layer=1,
        coefficient=5.0,
        prompts=tuple(bench.pair.encode("reasoner", q) for q in "ab"),
        sampling=SamplingSpec(max_new_tokens=6, temperature=0.8),
        keywords=("wait",),
    )
    cell = finish(run_cell(bench.pair.model_of(facts.spec, facts.fingerprint), spec, batch=2))
    assert list(cell.texts) == [run(bench, single)[0].text for single in spec.generations()]


def test_faults_of_use_are_sentences(bench):
    with pytest.raises(BadInput):
        bench.pair.encode("reasoner", "   ")
    foreign = replace(spec_of(bench), fingerprint="gone")
    snapshot = bench.engine.wait(bench.generate([foreign]), 10)
    assert isinstance(snapshot.error, ModelUnavailable)


def test_a_pair_that_is_no_pair_is_refused_and_nothing_is_loaded(pair, tmp_path):
    bench = Workbench(tmp_path / "cache")
    other = tiny_folder(tmp_path, d_model=64, name="other")
    mixed = PairSpec(base=ModelSpec(repo_id=str(other)), reasoner=pair.reasoner)
    snapshot = bench.engine.wait(bench.load_pair(mixed), 60)
    assert "not a base model and its finetune" in snapshot.error.problem
    with pytest.raises(ModelUnavailable, match="No model is loaded"):
        bench.pair.facts("base")


def test_a_fork_keeps_its_prefix_and_greedy_decoding_goes_on_as_before(bench, make_direction):
    spec = spec_of(bench, steering=[steer(make_direction)], n=12)
    (whole,) = run(bench, spec)
    for k in (0, 5, 11):
        (fork,) = run(bench, replace(spec, prefix=whole.token_ids[:k]))
        assert fork.token_ids == whole.token_ids
        assert fork.pieces == whole.pieces
    (other,) = run(bench, replace(spec, prefix=whole.token_ids[:5], steering=()))
    assert other.token_ids[:5] == whole.token_ids[:5]


def test_a_set_of_prompts_runs_in_batches_and_is_found_again(bench, monkeypatch):
    monkeypatch.setattr("core.runs.work.SET_BATCH", 2)
    specs = [spec_of(bench, f"What is {i}?", n=4, seed=i) for i in range(5)]
    done = bench.engine.wait(bench.generate_set(specs), 60)
    assert [g.spec for g in done.result] == specs
    assert all(bench.cached(spec) == g for spec, g in zip(specs, done.result, strict=True))
    assert [g.token_ids for g in done.result] == [run(bench, spec)[0].token_ids for spec in specs]


def test_the_kl_between_two_lanes_is_a_stored_result(bench, make_direction):
    spec, baseline = spec_of(bench, steering=[steer(make_direction)]), spec_of(bench)
    lane = run(bench, spec, baseline)[0]
    asked = LaneKLSpec(lane=spec, reference=baseline, token_ids=lane.token_ids)
    done = bench.engine.wait(bench.compare_lanes(asked), 60)
    assert done.state == "done"
    assert done.result.kl.max() > 0
    assert bench.cached(asked).kl.tolist() == done.result.kl.tolist()
