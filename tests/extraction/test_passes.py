"""Equations of the one-pass difference of means."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.extraction.direction_sets import extract_directions
from core.extraction.values import DirectionSet, ExtractionSpec
from core.forward.hooks import run_decoder
from core.models.loaded import encode_text, hook_count
from core.traces.events import digest_of, find_events, label_of_tokens
from core.values import PAPER_WINDOW, Part, Trace, Window
from tests.tiny_models import tiny_loaded

FAMILIES = ["llama", "qwen2", "mistral", "gemma", "gpt_neox"]
WINDOWS = (
    PAPER_WINDOW,
    Window(start=-7, stop=-1),
    *(Window(start=offset, stop=offset + 1) for offset in range(-4, 3)),
)


def make_traces(n=5):
    """Traces with zero to two backtracking parts, some of them right at the start."""
    traces = []
    for i in range(n):
        parts, text = [], ""
        for j in range(3 + i % 2):
            sentence = f"First we add {i} and {j} to get {i + j}. "
            parts.append(Part(label="deduction", start=len(text), end=len(text) + len(sentence) - 1))
            text += sentence
            if (i + j) % 2 == 0:
                sentence = "Wait, that is not right. "
                parts.append(Part(label="backtracking", start=len(text), end=len(text) + len(sentence) - 1))
                text += sentence
        traces.append(Trace(trace_id=str(i), prompt=f"What is {i}?", text=text.strip(), parts=tuple(parts)))
    return traces


def spec_for(loaded, traces, **fields):
    fields = {"windows": WINDOWS, "layers": tuple(range(loaded.n_layers)), **fields}
    return ExtractionSpec(model=loaded.spec, fingerprint=loaded.fingerprint, traces_digest=digest_of(traces), **fields)


def extract(loaded, traces, spec):
    items = list(extract_directions(loaded, traces, spec))
    assert items[:-1] == list(range(1, len(traces) + 1))
    assert isinstance(items[-1], DirectionSet)
    return items[-1]


def naive(loaded, traces, spec):
    """Eq. 3 written out: (n_layers, n_windows, d_model) in float64, one forward per trace and layer."""
    out = np.zeros((len(spec.layers), len(spec.windows), loaded.d_model))
    for i, layer in enumerate(spec.layers):
        for j, window in enumerate(spec.windows):
            inside_means, all_means = [], []
            for trace in traces:
                reading = encode_text(loaded, trace.prompt, trace.text)
                kept = []
                run_decoder(loaded, torch.tensor([reading.token_ids]), [layer], lambda _l, h, k=kept: k.append(h[0]))
                activations = kept[0].double().numpy()
                text = activations[reading.text_start :]
                events = find_events(trace, spec.label, spans=reading.spans, text_start=reading.text_start)
                positions = {e.position + o for e in events for o in range(window.start, window.stop)}
                chosen = [activations[p] for p in positions if reading.text_start <= p < len(activations)]
                labels = label_of_tokens(trace, reading.spans)
                rest = [
                    a
                    for a, label in zip(text, labels, strict=True)
                    if spec.negatives == "all" or label not in ("", spec.label)
                ]
                if chosen:
                    inside_means.append(np.mean(chosen, axis=0))
                all_means.append(np.mean(rest, axis=0))
            out[i, j] = np.mean(inside_means, axis=0) - np.mean(all_means, axis=0)
    return out


@pytest.mark.parametrize("negatives", ["all", "other"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_pass_equals_naive_per_trace_means(family, negatives, tmp_path):
    loaded = tiny_loaded(tmp_path, family)
    traces = make_traces()
    spec = spec_for(loaded, traces, negatives=negatives)
    got, want = extract(loaded, traces, spec).vectors, naive(loaded, traces, spec)
    error = np.linalg.norm(got - want, axis=-1) / np.linalg.norm(want, axis=-1)
    assert error.max() <= 1e-5
    assert hook_count(loaded) == 0


def test_a_planted_direction_is_recovered(tmp_path):
    loaded = tiny_loaded(tmp_path, d_model=64)
    traces = make_traces(8)
    planted = torch.from_numpy(np.random.default_rng(3).standard_normal(64).astype(np.float32))
    planted = 40 * planted / planted.norm()
    window = Window(start=-3, stop=-1)
    spec = spec_for(loaded, traces, windows=(window,), layers=(1,))
    positions = {}
    for trace in traces:
        reading = encode_text(loaded, trace.prompt, trace.text)
        events = find_events(trace, "backtracking", spans=reading.spans, text_start=reading.text_start)
        positions[reading.token_ids] = sorted(
            {e.position + o for e in events for o in (-3, -2) if e.position + o >= reading.text_start}
        )

    def plant(_module, args, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[0, positions[current[0]]] += planted
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    current = [None]
    watch = loaded.decoder.register_forward_pre_hook(
        lambda _m, _a, kwargs: current.__setitem__(0, tuple(kwargs["input_ids"][0].tolist())), with_kwargs=True
    )
    handle = loaded.layers[1].register_forward_hook(plant)
    try:
        found = extract(loaded, traces, spec).at(1, window)
    finally:
        handle.remove()
        watch.remove()
    assert found.vector @ (planted.numpy() / 40) >= 0.99


def test_counts_say_what_the_means_are_made_of(tmp_path):
    loaded = tiny_loaded(tmp_path)
    traces = make_traces()
    result = extract(loaded, traces, spec_for(loaded, traces))
    n_events = sum(part.label == "backtracking" for trace in traces for part in trace.parts)
    at_event = WINDOWS.index(Window(start=0, stop=1))
    assert result.n_events == n_events == result.counts[at_event, 1]
    assert result.counts[0, 1] <= 6 * n_events
    assert result.n_tokens == sum(len(encode_text(loaded, t.prompt, t.text).spans) for t in traces)


def test_windows_and_layers_do_not_change_each_other(tmp_path):
    loaded = tiny_loaded(tmp_path)
    traces = make_traces()
    everything = extract(loaded, traces, spec_for(loaded, traces))
    alone = extract(loaded, traces, spec_for(loaded, traces, windows=(PAPER_WINDOW,), layers=(1,)))
    assert np.array_equal(everything.at(1, PAPER_WINDOW).vector, alone.at(1, PAPER_WINDOW).vector)


def test_a_trace_that_is_too_long_is_left_out_and_listed(tmp_path):
    loaded = tiny_loaded(tmp_path)
    traces = make_traces()
    too_long = replace(traces[0], trace_id="endless", text="long " * 2000, parts=())
    spec = spec_for(loaded, traces)
    with_it = extract(loaded, [*traces, too_long], spec)
    assert np.array_equal(with_it.vectors, extract(loaded, traces, spec).vectors)
    assert with_it.n_traces == len(traces)


def test_what_cannot_be_extracted_is_refused_with_a_remedy(tmp_path):
    loaded = tiny_loaded(tmp_path)
    traces = make_traces()
    cases = [
        (traces, {"label": "no-such-label"}, "no-such-label"),
        (traces, {"windows": (Window(start=-900, stop=-890),)}, "outside every trace"),
        (traces[:1], {}, "Only 1 trace"),
        (traces, {"layers": (99,)}, "layers 0 to 2"),
        ([replace(traces[0], text="long " * 2000, parts=())], {}, "this model reads"),
    ]
    for given, fields, named in cases:
        with pytest.raises(BadInput) as caught:
            list(extract_directions(loaded, given, spec_for(loaded, given, **fields)))
        assert named in caught.value.problem
        assert caught.value.remedy
    with pytest.raises(BadInput):
        spec_for(loaded, traces, windows=())
