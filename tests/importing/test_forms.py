"""Records as people publish them: the reasoning is found by marks, names and how it reads, never a reference answer."""

from __future__ import annotations

import io
import json

import pytest

from core.errors import BadInput
from tests.importing.test_work import as_json, as_lines, folder, imported

assert folder

THOUGHT = "First I double it and get 9. Wait, that is wrong. It is 8."
MARKED = f"<think>{THOUGHT}</think>8"


def texts(found):
    return [(trace.prompt, trace.text) for trace in found]


# --- a reference answer is no trace


@pytest.mark.parametrize("field", ["answer", "solution", "gold", "ground_truth", "final_answer", "target", "expected"])
@pytest.mark.parametrize(
    "written",
    [
        {"generations": [MARKED]},
        {"model_response": MARKED},
        {"full_cot": f"Twice 4?\n{MARKED}"},
        {"thinking_trajectories": [THOUGHT]},
        {"deepseek_thinking_trajectory": THOUGHT},
        {"generated_text": THOUGHT},
        {"prediction": THOUGHT},
        {"outputs": [{"text": MARKED}]},
        {"chosen": MARKED, "rejected": "no"},
        {"a name that nobody knows": THOUGHT},
    ],
)
def test_a_reference_answer_beside_reasoning_is_never_the_trace(folder, field, written):
    traces, report = imported(folder, as_lines({field: "8", "question": "Twice 4?", **written}))
    assert texts(traces) == [("Twice 4?", THOUGHT)]
    (row,) = report.fields
    assert (row.question, row.n_traces, row.records) == ("question", 1, "1")
    assert row.reasoning.split("[")[0].split(".")[0] in written
    assert field in row.unread


def test_a_long_reference_loses_to_shorter_reasoning_and_wins_where_there_is_nothing_else(folder):
    solution = f"We double 4, which is adding it to itself, so that we get 8. {'And so on. ' * 50}"
    traces, _ = imported(folder, as_lines({"question": "q", "solution": solution, "output": THOUGHT}))
    assert texts(traces) == [("q", THOUGHT)]
    traces, report = imported(folder, as_lines({"question": "q", "solution": solution}))
    assert texts(traces) == [("q", solution)]
    assert report.fields[0].reasoning == "solution"
    with pytest.raises(BadInput, match="reference answer"):
        imported(folder, as_lines({"question": "q", "answer": "8"}))


def test_several_generations_are_several_traces(folder):
    record = {"id": "a", "problem": "q", "answer": "8", "generations": [MARKED, "<think>Other. Hmm.</think>8"]}
    traces, report = imported(folder, as_lines(record))
    assert [(t.trace_id, t.text) for t in traces] == [("a generation 1", THOUGHT), ("a generation 2", "Other. Hmm.")]
    assert (report.n_records, report.n_traces, report.n_cut) == (1, 2, 2)


def test_a_record_that_repeats_another_says_where_it_was_read_from(folder):
    _, report = imported(folder, as_lines({"question": "q", "output": MARKED}, {"question": "q", "cot": THOUGHT}))
    assert [(p.record, p.reason) for p in report.problems if p.kind == "duplicate"] == [
        (2, "it repeats record 1; read from cot")
    ]


def test_two_models_reasoning_gives_two_traces_and_the_same_text_in_two_fields_one(folder):
    record = {"question": "q", "deepseek_thinking": THOUGHT, "gemini_thinking": "Other. Hmm, yes."}
    assert [t.text for t in imported(folder, as_lines(record))[0]] == [THOUGHT, "Other. Hmm, yes."]
    record = {"problem": "q", "messages": chat(MARKED), "generations": [MARKED, "<think>Other. Hmm.</think>8"]}
    assert [t.text for t in imported(folder, as_lines(record))[0]] == [THOUGHT, "Other. Hmm."]


def chat(content, question="Twice 4?", **more):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": content, **more}]


# --- empty thinking


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "q", "response": "<think>\n\n</think>\n\nThe answer is 8."},
        {"prompt": "q", "response": "[THINK][/THINK]The answer is 8."},
        {"prompt": "q", "response": "The answer is 8.", "thinking": ""},
        {"prompt": "q", "response": "The answer is 8.", "reasoning": None},
        {"messages": chat("<think>\n\n</think>\n\nThe answer is 8.")},
        {"messages": chat("The answer is 8.", reasoning_content=None)},
        {"messages": chat("The answer is 8.", reasoning="")},
    ],
)
def test_empty_thinking_is_listed_and_its_answer_is_no_reasoning(folder, record):
    traces, report = imported(folder, as_lines(record, {"text": THOUGHT}))
    assert [t.text for t in traces] == [THOUGHT]
    assert report.kinds == {"no reasoning": 1}
    assert (report.problems[0].record, report.n_answers) == (1, 1)


# --- what was cut, and marks that are not known


def test_the_report_counts_what_was_left_out_around_the_reasoning(folder):
    _, report = imported(folder, as_lines({"response": f"Intro<think>{THOUGHT}</think>{'x' * 500}"}))
    assert report.n_cut == 505
    _, report = imported(folder, as_lines({"messages": chat("8 it is", reasoning_content=THOUGHT)}))
    assert report.n_cut == 7


def test_marks_that_are_not_known_are_told(folder):
    (trace,), report = imported(folder, as_lines({"response": f"<planning>{THOUGHT}</planning> It is 8."}))
    assert trace.text.startswith("<planning>")
    assert "<planning>" in next(p.reason for p in report.problems if p.kind == "unknown marks")


# --- stored answers of APIs


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        ({"object": "chat.completion", "choices": [{"message": chat("8", reasoning_content=THOUGHT)[1]}]}, ""),
        ({"custom_id": "c", "response": {"status_code": 200, "body": {"choices": [{"message": chat(MARKED)[1]}]}}}, ""),
        ({"request_id": "0", "prompt": "q", "prompt_token_ids": [1, 2], "outputs": [{"text": MARKED}]}, "q"),
        (
            {
                "input": "q",
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": THOUGHT}], "summary": []},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "8"}]},
                ],
            },
            "q",
        ),
        ({"model": "m", "message": {"role": "assistant", "content": "8", "thinking": THOUGHT}, "done": True}, ""),
        ({"model": "m", "prompt": "q", "response": "8", "thinking": THOUGHT, "done": True}, "q"),
        (
            {
                "doc": {"question": "q", "answer": "8"},
                "arguments": [["few shots q", {}]],
                "resps": [[MARKED]],
                "filtered_resps": ["8"],
                "target": "8",
            },
            "q",
        ),
        (
            {
                "messages": [
                    *chat("")[:1],
                    {"role": "assistant", "content": "8", "reasoning_details": [{"text": THOUGHT}]},
                ]
            },
            "Twice 4?",
        ),
        ({"metadata": {"reasoning": THOUGHT}, "answer": "8", "question": "q"}, "q"),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": THOUGHT, "thought": True}]}}]}, ""),
        (
            {
                "role": "assistant",
                "stop_reason": "end_turn",
                "content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "8"}],
            },
            "",
        ),
        ({"messages": chat([{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}])}, "Twice 4?"),
    ],
)
def test_stored_answers_of_apis(folder, record, prompt):
    traces, _ = imported(folder, as_lines(record))
    assert texts(traces) == [(prompt, THOUGHT)]


def test_every_choice_is_a_trace_and_a_summary_is_called_one(folder):
    choices = [{"message": chat("8", reasoning_content=text)[1]} for text in ("One, so.", "Two, so.")]
    traces, report = imported(folder, as_lines({"messages": chat("")[:1], "choices": choices}))
    assert texts(traces) == [("Twice 4?", "One, so."), ("Twice 4?", "Two, so.")]
    assert report.kinds == {}
    output = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHT}]}, chat("8")[1]]
    assert imported(folder, as_lines({"output": output}))[1].kinds == {"summary": 1}


def test_pieces_of_a_streamed_answer_are_refused(folder):
    piece = {"message": {"role": "assistant", "content": "Wa"}, "done": False}
    with pytest.raises(BadInput, match="streamed"):
        imported(folder, as_lines(piece, piece))


# --- questions


@pytest.mark.parametrize("field", ["text", "generated_text", "response"])
def test_a_rendered_prompt_is_unframed_and_said(folder, field):
    record = {"prompt": "<|im_start|>user\nTwice 4?<|im_end|>\n<|im_start|>assistant\n<think>", field: MARKED}
    traces, report = imported(folder, as_lines(record))
    assert texts(traces) == [("Twice 4?", THOUGHT)]
    assert report.kinds["question"] == 1


def test_a_question_that_an_answer_repeats_is_cut_from_it(folder):
    traces, report = imported(folder, as_lines({"prompt": "Twice 4?\n", "generated_text": f"Twice 4?\n{THOUGHT}"}))
    assert texts(traces) == [("Twice 4?\n", THOUGHT)]
    assert report.n_cut == 9


# --- labels


@pytest.mark.parametrize(
    "labels",
    [
        {"label": [[29, 49, "backtracking"]]},
        {"entities": [{"id": 1, "label": "backtracking", "start_offset": 29, "end_offset": 49}]},
        {"spans": [{"start": 29, "end": 49, "label": "backtracking"}], "answer": "accept"},
        {"annotations": [{"result": [{"value": {"start": 29, "end": 49, "labels": ["backtracking"]}}]}]},
        {"anything": [{"begin": 29, "length": 20, "tag": "backtracking", "text": "Wait, that is wrong."}]},
        {"pieces": [{"sentence": "First I double it and get 9.", "tags": []}, {"sentence": "Wait, that is wrong.",
         "tags": ["backtracking"]}, {"sentence": "It is 8.", "tags": ["deduction"]}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize(("before", "behind"), [("", ""), ("<think>", "</think>8")])
def test_labels_beside_a_text_become_its_parts(folder, labels, before, behind):
    shifted = json.loads(json.dumps(labels).replace("29", str(29 + len(before))).replace("49", str(49 + len(before))))
    (trace,), report = imported(folder, as_lines({"text": before + THOUGHT + behind, **shifted}))
    assert trace.text == THOUGHT
    found = [(p.label, THOUGHT[p.start : p.end]) for p in trace.parts]
    assert ("backtracking", "Wait, that is wrong.") in found
    assert report.fields[0].labels.split("[")[0] in labels


def test_labels_that_cannot_be_read_are_told(folder):
    _, report = imported(folder, as_lines({"text": THOUGHT, "labels": ["good", "short"]}))
    assert report.kinds == {"labels not read": 1}
    spans = [[0, 5, "x"], [50, 900, "x"]]
    (trace,), report = imported(folder, as_lines({"text": THOUGHT, "label": spans}))
    assert (len(trace.parts), report.n_parts, report.kinds) == (1, 2, {"bad part": 1})


@pytest.mark.parametrize("written", [as_json, as_lines])
def test_chunks_with_tags_are_one_trace_rebuilt_and_said(folder, written):
    chunks = [
        {"chunk": "First 9.", "chunk_idx": 0, "function_tags": ["deduction"]},
        {"chunk": "Wait, no.", "chunk_idx": 1, "function_tags": ["backtracking", "check"]},
    ]
    traces, report = imported(folder, written(*chunks, *chunks))
    assert traces[0].text == "First 9. Wait, no."
    assert [p.label for p in traces[0].parts] == ["deduction", "backtracking", "check"]
    assert report.kinds == {"rebuilt": 1, "duplicate": 1}
    whole = "<think>\nFirst 9.\n\nWait, no.\n</think>8"
    (trace,), report = imported(folder, as_lines({"full_cot": whole, "chunks": chunks, "answer": "8"}))
    assert (trace.text, len(trace.parts), "rebuilt" in report.kinds) == ("\nFirst 9.\n\nWait, no.\n", 3, False)


# --- bounds


@pytest.mark.parametrize(
    "record",
    [
        {"text": "ab. " * 60_000, "parts": [{"label": "x", "start": 4 * k, "end": 4 * k + 3} for k in range(50_000)]},
        {"text": "ab. " * 60_000, "label": [[4 * k, 4 * k + 3, "x"] for k in range(50_000)]},
        {"cot": "ab. " * 60_000, "annotated_chain": '["deduction"]ab.["end-section"]' * 50_000},
    ],
)
def test_parts_beyond_what_is_read_are_counted_in_short_steps(folder, record, monkeypatch):
    monkeypatch.setattr("core.importing.work.STEP_SECONDS", 0.0)
    _, report = imported(folder, as_json(record))
    assert (report.n_parts, report.n_aligned, report.kinds["too many parts"]) == (50_000, 5_000, 45_000)


def test_items_of_a_list_beyond_what_is_read_are_counted(folder):
    record = {"question": "q", "generations": [f"<think>{k}. So.</think>" for k in range(2_003)]}
    traces, report = imported(folder, as_lines(record))
    assert (len(traces), report.kinds) == (2_000, {"too many items": 1})
    assert report.problems[0].reason.startswith("3 items")


def test_a_text_that_is_too_long_does_not_make_another_one_the_trace(folder):
    long = "a b " * 1_500_000
    data = as_lines({"response": long, "note to self": THOUGHT}, {"log": long, "response": MARKED})
    traces, report = imported(folder, io.BytesIO(data.encode()).getvalue())
    assert [t.text for t in traces] == [THOUGHT]
    assert report.kinds == {"too long": 2, "no text": 1, "outside the reasoning": 1}
