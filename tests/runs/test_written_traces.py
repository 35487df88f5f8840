"""The completions asked for, and their reasoning as traces."""

from dataclasses import replace

from core.runs.written_traces import generation_specs, traces_of
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
