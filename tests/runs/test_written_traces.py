"""The completions asked for, and their reasoning as traces."""

from dataclasses import replace

from core.labelling.keywords import KeywordSet, label_by_keywords
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.written_traces import generation_specs, traces_of, traces_of_cell
from core.traces.records import record_of, trace_of
from core.values import ModelSpec, Prompt, SamplingSpec
from tests.stored_values import generation

MODEL = ModelSpec(repo_id="tiny/reasoner")


def completion(text, stop_reason="eos"):
    return replace(generation(), token_ids=tuple(range(len(text))), pieces=tuple(text), stop_reason=stop_reason)


def test_every_prompt_has_a_seed_of_its_own_and_no_steering():
    prompts = [Prompt(question=q, text=q, token_ids=(1, 2)) for q in "abc"]
    sampling = SamplingSpec(max_new_tokens=9, temperature=0.7, seed=10)
    specs = generation_specs(prompts, model=MODEL, fingerprint="f", sampling=sampling)
    assert [spec.sampling for spec in specs] == [replace(sampling, seed=seed) for seed in (10, 11, 12)]
    assert [spec.prompt for spec in specs] == prompts
    assert {spec.steering for spec in specs} == {()}


def test_a_trace_is_the_reasoning_without_the_answer():
    found = traces_of(
        [
            completion("I add. Wait.</think>\nAnswer: 4"),
            completion("<think>\nNo end", "length"),
            completion("no marks at all"),
            completion("</think>4"),
            completion("", "eos"),
        ]
    )
    assert [trace.text.strip() for trace in found.traces] == ["I add. Wait.", "No end", "no marks at all"]
    assert [trace.trace_id for trace in found.traces] == ["1-seed1", "2-seed1", "3-seed1"]
    assert {trace.prompt for trace in found.traces} == {"What is 2 + 2?"}
    assert (found.n_cut_off, found.n_empty) == (1, 2)


def test_steered_completions_say_what_was_done_to_the_model(make_direction):
    direction = make_direction(8, layer=4)
    spec = DoseCellSpec(
        model=MODEL,
        fingerprint="f",
        direction=direction,
        layer=5,
        coefficient=-2.5,
        prompts=tuple(Prompt(question=q, text=q, token_ids=(1,)) for q in ("A?", "B?", "C?")),
        sampling=SamplingSpec(seed=10),
        keywords=("wait",),
    )
    numbers = {"hits": (0,) * 3, "words": (1,) * 3, "repetition": (0.0,) * 3, "nll": (1.0,) * 3}
    cell = DoseCell(spec=spec, **numbers, no_evidence=("",) * 3, texts=("Wait.</think>4", " </think>4", "No end"))
    found = traces_of_cell(cell, arm_name="base-derived")
    assert [(trace.prompt, trace.text) for trace in found] == [("A?", "Wait."), ("C?", "No end")]
    digest = direction.digest[:8]
    assert found[1].source == (
        f"written by reasoner, steered with base-derived {digest}, coefficient -2.5, layer 5, seed 12"
    )
    assert found[0].trace_id == f"reasoner-seed10-{digest}-add--2.5-layer5"
    assert {trace.parts for trace in found} == {()}
    amplified = replace(cell, spec=replace(spec, operator="amplify"))
    assert f"{direction.name} {digest} (amplify)" in traces_of_cell(amplified)[0].source
    plain = replace(cell, spec=replace(spec, direction=None, coefficient=0.0))
    assert traces_of_cell(plain)[0].source == "written by reasoner, unsteered, seed 10"
    cells = (cell, amplified, plain, replace(cell, spec=replace(spec, coefficient=1.0)))
    ids = {trace.trace_id for one in cells for trace in traces_of_cell(one)}
    assert len(ids) == 8


def test_steered_traces_are_written_and_read_as_any_others(make_direction, tmp_path):
    spec = DoseCellSpec(
        model=MODEL,
        fingerprint="f",
        direction=make_direction(8),
        layer=1,
        coefficient=3.0,
        prompts=(Prompt(question="A?", text="A?", token_ids=(1,)),),
        sampling=SamplingSpec(),
        keywords=("wait",),
    )
    cell = DoseCell(
        spec=spec, hits=(1,), words=(1,), repetition=(0.0,), nll=(1.0,), no_evidence=("",), texts=("Wait. No.",)
    )
    (trace,) = traces_of_cell(cell)
    assert trace_of(record_of(trace)) == trace
    labelled = label_by_keywords([trace], KeywordSet())
    assert [part.label for part in labelled[0].parts] == ["backtracking"]
