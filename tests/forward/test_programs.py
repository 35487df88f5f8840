"""Steering programs are exact: in a batch, with and without a cache, from a fork, and against the definition itself."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.forward.programs import Ending, EndingWatch, position_bounds, thinking_start
from core.models.loaded import encode_prompt, pieces
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.text.words import keyword_spans, words_of
from core.values import Positions, SamplingSpec
from tests.tiny_models import END_THINK, tiny_loaded

QUESTIONS = ["Why?", "What is 3 plus 4?", "Find two numbers with sum 9 and product 20, please."]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return tiny_loaded(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def vocabulary(loaded):
    """Words that the model writes unsteered, so that steering until one of them ends now and then."""
    specs = [spec_of(loaded, question, max_new_tokens=24) for question in QUESTIONS]
    words = {
        w for spec, row in zip(specs, complete(loaded, specs), strict=True) for w in words_of(text_of(loaded, row))
    }
    return sorted(words) or ["wait"]


def spec_of(loaded, question=QUESTIONS[1], *, steering=(), prefix=(), **sampling):
    return GenerationSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        prompt=encode_prompt(loaded, question),
        sampling=SamplingSpec(**{"max_new_tokens": 14, **sampling}),
        steering=tuple(steering),
        prefix=tuple(prefix),
    )


def complete(loaded, specs, **options):
    """The whole completion of every row, prefix included."""
    rows = [list(spec.prefix) for spec in specs]
    for step in stream_completions(loaded, specs, **options):
        for token in step:
            rows[token.row].append(token.token_id)
    return rows


def text_of(loaded, ids):
    return "".join(pieces(loaded, tuple(ids)))


positions = st.builds(
    dict,
    region=st.sampled_from(["all", "prompt", "completion", "thinking"]),
    start=st.integers(0, 4),
    length=st.none() | st.integers(1, 6),
    every=st.integers(1, 3),
    until=st.booleans(),
)
edits = st.builds(
    dict,
    operator=st.sampled_from(["add", "ablate", "clamp", "amplify"]),
    coefficient=st.floats(-12, 12).map(lambda x: round(x, 2)),
    layer=st.integers(0, 2),
    ramp=st.sampled_from([1, 1, 3, 8]),
    direction=st.integers(0, 3),
    positions=positions,
    word=st.integers(0, 99),
)
rows = st.builds(
    dict,
    program=st.lists(edits, min_size=0, max_size=3),
    question=st.sampled_from(QUESTIONS),
    temperature=st.sampled_from([0.0, 0.8]),
    seed=st.integers(0, 5),
)


def build(loaded, make_direction, vocabulary, row):
    program = []
    for edit in row["program"]:
        where = edit["positions"]
        program.append(
            SteeringSpec(
                direction=make_direction(loaded.d_model, seed=edit["direction"]),
                layer=edit["layer"],
                operator=edit["operator"],
                coefficient=edit["coefficient"],
                ramp=edit["ramp"],
                positions=Positions(
                    region=where["region"],
                    start=where["start"],
                    stop=None if where["length"] is None else where["start"] + where["length"],
                    every=where["every"],
                    until=(vocabulary[edit["word"] % len(vocabulary)],) if where["until"] else (),
                ),
            )
        )
    return spec_of(loaded, row["question"], steering=program, temperature=row["temperature"], seed=row["seed"])


anything = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@anything
@given(batch=st.lists(rows, min_size=2, max_size=5))
def test_any_program_is_the_same_in_a_batch_alone_and_without_a_cache(batch, loaded, make_direction, vocabulary):
    specs = [build(loaded, make_direction, vocabulary, row) for row in batch]
    together = complete(loaded, specs)
    assert together == [complete(loaded, [spec])[0] for spec in specs]
    assert together == complete(loaded, specs, use_cache=False)


@anything
@given(row=rows, share=st.floats(0, 1), extra=rows)
def test_a_fork_reproduces_its_prefix_and_goes_on_as_the_whole_run_did(
    row, share, extra, loaded, make_direction, vocabulary
):
    spec = build(loaded, make_direction, vocabulary, row)
    whole = complete(loaded, [spec])[0]
    k = int(share * (len(whole) - 1))
    fork = replace(spec, prefix=tuple(whole[:k]))
    assert complete(loaded, [fork])[0] == whole
    assert complete(loaded, [build(loaded, make_direction, vocabulary, extra), fork])[1] == whole


@anything
@given(row=rows)
def test_every_step_is_the_definition_written_out(row, loaded, make_direction, vocabulary):
    spec = build(loaded, make_direction, vocabulary, row | {"temperature": 0.0})
    written = []
    while len(written) < spec.sampling.max_new_tokens:
        logits = edited_logits(loaded, spec, written)
        written.append(int(logits.argmax()))
        if written[-1] in loaded.eos_ids:
            break
    assert complete(loaded, [spec])[0] == written


def edited_logits(loaded, spec, written):
    """(d_vocab,) of the next token after one plain pass, with hooks that follow the definition position by position."""
    ids = [*spec.prompt.token_ids, *written]

    def hook_of(layer):
        def hook(_module, _inputs, output):
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            for edit in spec.steering:
                for p in range(len(ids)) if edit.layer == layer else ():
                    hidden[0, p] = naive_edit(hidden[0, p], edit, naive_share(loaded, spec, edit, written, p))
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        return hook

    handles = [block.register_forward_hook(hook_of(i)) for i, block in enumerate(loaded.layers)]
    try:
        with torch.inference_mode():
            return loaded.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()


def naive_edit(h, edit, share):
    v = torch.from_numpy(edit.direction.vector)
    change = {
        "add": edit.coefficient * v,
        "ablate": -(h @ v) * v,
        "clamp": (edit.coefficient - h @ v) * v,
        "amplify": edit.coefficient * h / h.norm(),
    }[edit.operator]
    return h + share * change


def naive_share(loaded, spec, edit, written, p):
    """How much of the edit applies at position p, in words: region, slice, step, ramp, and what was written."""
    n, where = len(spec.prompt.token_ids), edit.positions
    begin = {
        "all": 0,
        "prompt": 0,
        "completion": n,
        "thinking": thinking_start(loaded.tokenizer, spec.prompt.token_ids),
    }
    first = begin[where.region] + where.start
    inside = p >= first and (p < n if where.region == "prompt" else True)
    inside = inside and (where.stop is None or p < begin[where.region] + where.stop) and (p - first) % where.every == 0
    text = text_of(loaded, written[: max(p - n + 1, 0)]) if p >= n else ""
    ended = bool(where.until and keyword_spans(text, where.until)) or any(
        keyword_spans(text_of(loaded, written[:k]), where.until) for k in range(max(p - n + 1, 0)) if where.until
    )
    ended = ended or (where.region == "thinking" and END_THINK in text)
    return min(1.0, (p - first + 1) / edit.ramp) if inside and not ended else 0.0


def test_until_a_keyword_steers_up_to_the_token_that_completes_it(loaded):
    ids = loaded.tokenizer.encode("So it is. Wait, no: hmm", add_special_tokens=False)
    watch = EndingWatch(loaded.tokenizer, [Ending(words=("wait",)), Ending(words=("hmm",)), Ending(thinking=True)])
    told = [watch.feed(token_id) for token_id in ids]
    assert [i for ended in told for i in ended] == [0, 1]
    place = next(k for k, ended in enumerate(told) if ended == [0])
    assert text_of(loaded, ids[: place + 1]).endswith("Wait")
    assert watch.feed(loaded.tokenizer.backend_tokenizer.token_to_id(END_THINK)) == [2]


def test_thinking_begins_after_the_prompts_marker_and_else_with_the_completion(loaded):
    prompt = encode_prompt(loaded, "Why?").token_ids
    think = loaded.tokenizer.backend_tokenizer.token_to_id("<think>")
    start = thinking_start(loaded.tokenizer, prompt)
    assert prompt[start - 1] == think
    closed = (*prompt, loaded.tokenizer.backend_tokenizer.token_to_id(END_THINK))
    assert thinking_start(loaded.tokenizer, closed) == len(closed)
    assert thinking_start(loaded.tokenizer, (5, 6, 7)) == 3
    assert position_bounds(Positions(region="thinking", stop=4), 10, 8)[:2] == (8, 12)


def test_prefixes_that_leave_no_room_or_are_no_tokens_are_refused(loaded):
    for prefix, sampling, named in (
        ((5,) * 14, {}, "limit is 14"),
        ((5,) * 600, {"max_new_tokens": 900}, "at most"),
        ((loaded.d_vocab,), {}, "token id"),
    ):
        with pytest.raises(BadInput, match=named):
            next(stream_completions(loaded, [spec_of(loaded, prefix=prefix, **sampling)]))


@pytest.mark.parametrize("until", [("",), ("x" * 41,), ("a",) * 17])
def test_ending_words_that_cannot_be_words_are_refused(until):
    with pytest.raises(BadInput, match="words that end"):
        Positions(until=until)
