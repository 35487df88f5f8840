"""The demo pair's corpus, labels and exported files."""

import json
import re
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo import reasoner_corpus
from demo.base_corpus import draw_base_document, write_solution
from demo.checks import check_guess, guess_after_turn
from demo.phrases import PHRASES, label_of
from demo.problems import FAMILIES, draw_problem, is_heldout
from demo.reasoner_corpus import trace_document, write_trace
from demo.sentence_parser import kind_of, parse_trace
from demo.write_prompts import draw_prompt_sets

DEMO = Path(__file__).parents[2] / "demo"
KEYWORD = re.compile(r"\b(wait|hmm)", re.IGNORECASE)
LABELS = {label_of(kind) for kind in PHRASES}


def _draw_traces(count: int, seed: int):
    rng = Random(seed)
    return [write_trace(draw_problem(rng), rng) for _ in range(count)]


def _stored_traces() -> list[dict]:
    return [json.loads(line) for line in (DEMO / "traces.jsonl").read_text().splitlines()]


def test_generators_give_the_same_text_for_the_same_seed():
    assert _draw_traces(20, 3) == _draw_traces(20, 3)
    assert _draw_traces(20, 3) != _draw_traces(20, 4)
    assert [draw_base_document(Random(i)) for i in range(30)] == [draw_base_document(Random(i)) for i in range(30)]


def test_labels_cover_the_text_exactly():
    for trace in _draw_traces(100, 0):
        covered = "".join(trace.text[part.start : part.end] for part in trace.parts)
        assert covered.replace(" ", "") == re.sub(r"\s", "", trace.text)
        assert all(part.label in LABELS for part in trace.parts)


def test_parser_finds_the_labels_of_the_generator():
    for trace in _draw_traces(200, 1):
        parsed = parse_trace(trace.text)
        assert parsed.parts == trace.parts
        assert not parsed.unmatched


def test_parser_gives_no_label_to_a_foreign_sentence():
    assert kind_of("The cat sat on the mat.") is None
    assert kind_of("Let me try 4 and.") is None


def test_each_phrase_belongs_to_one_label():
    labels: dict[str, set[str]] = {}
    for kind, phrases in PHRASES.items():
        for phrase in phrases:
            labels.setdefault(phrase, set()).add(label_of(kind))
    assert all(len(found) == 1 for found in labels.values())


def test_base_solutions_never_turn_back():
    rng = Random(0)
    for _ in range(500):
        text = write_solution(draw_problem(rng), rng).completion
        assert not KEYWORD.search(text)
        labels = [part.label for part in parse_trace(text.rsplit("\n", 1)[0]).parts]
        assert "backtracking" not in labels


def test_base_corpus_uses_the_words_in_ordinary_text():
    rng = Random(0)
    documents = [draw_base_document(rng).completion for _ in range(300)]
    assert sum(bool(KEYWORD.search(document)) for document in documents) > 20


def test_answers_are_right():
    rng = Random(0)
    for _ in range(300):
        problem = draw_problem(rng)
        assert check_guess(problem, int(problem.answer.split()[0])).passed


def test_most_traces_end_in_the_right_answer_and_a_wrong_one_is_written_as_wrong():
    traces = _draw_traces(400, 2)
    right = sum(trace.answer == trace.problem.answer for trace in traces)
    assert 0.85 < right / len(traces) < 1
    assert all(trace_document(trace).completion.endswith(f"Answer: {trace.answer}<|eos|>") for trace in traces)


def test_what_the_last_check_finds_is_the_answer():
    concluded = [trace for trace in _draw_traces(400, 5) if trace.answer == trace.problem.answer]
    for trace in concluded:
        tried = [text for text in re.split(r"(?<=[.])\s", trace.text) if (kind_of(text) or "").startswith("pass")]
        assert tried, "it concludes without a check that passed"
    for trace in concluded:
        worked = re.findall(r"(\d+) (?:minus|times|divided)", trace.text)
        if trace.problem.family == "multiple":
            assert worked[-1] == trace.answer


def test_after_a_turn_no_untried_number_is_skipped():
    rng = Random(0)
    for problem in (draw_problem(rng) for _ in range(300)):
        answer = int(problem.answer.split()[0])
        assert guess_after_turn(problem, check_guess(problem, answer), rng, failed=False) == answer
        if problem.family == "multiple" and answer - problem.numbers[0] > problem.numbers[1]:
            before = check_guess(problem, answer - problem.numbers[0])
            assert guess_after_turn(problem, before, rng, failed=False) == before.guess
            assert guess_after_turn(problem, before, rng, failed=True) == answer


def test_a_writer_that_may_not_turn_back_fails_more_often(monkeypatch):
    """The reason to turn back: without turns at least 20 points fewer traces end in the right answer."""

    def share_right():
        traces = _draw_traces(400, 6)
        return sum(trace.answer == trace.problem.answer for trace in traces) / len(traces)

    free = share_right()
    monkeypatch.setattr(reasoner_corpus, "BACK_AFTER_FAILURES", (0.0,))
    assert share_right() < free - 0.2


def test_heldout_problems_never_occur_in_training():
    examples, heldout, for_traces = draw_prompt_sets()
    rng = Random(0)
    trained = {(p.family, p.numbers) for p in (draw_problem(rng) for _ in range(5000))}
    for problem in (*examples, *heldout, *for_traces):
        assert is_heldout(problem.family, problem.numbers)
        assert (problem.family, problem.numbers) not in trained
    statements = [p.statement for p in (*examples, *heldout, *for_traces)]
    assert len(set(statements)) == len(statements)
    assert len(heldout) >= 512


def test_prompts_file_matches_its_generator():
    stored = json.loads((DEMO / "prompts.json").read_text())
    _, heldout, _ = draw_prompt_sets()
    assert [entry["prompt"] for entry in stored["heldout"]] == [problem.statement for problem in heldout]
    assert {entry["family"] for entry in stored["examples"]} == set(FAMILIES)


@pytest.mark.parametrize("name", ["base", "reasoner"])
def test_exported_model_loads_and_writes(name: str):
    model = AutoModelForCausalLM.from_pretrained(DEMO / name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(DEMO / name)
    ids = tokenizer("<|bos|>Problem: ", return_tensors="pt", add_special_tokens=False)["input_ids"]
    output = model.generate(ids, max_new_tokens=5, do_sample=False)
    assert output.shape[1] > ids.shape[1]
    assert model.config.max_position_embeddings >= 8192


def test_tokenizers_share_one_vocabulary_and_only_the_reasoner_has_a_template():
    base, reasoner = (AutoTokenizer.from_pretrained(DEMO / name) for name in ("base", "reasoner"))
    assert base.get_vocab() == reasoner.get_vocab()
    assert base.chat_template is None
    messages = [{"role": "user", "content": "Find x."}]
    rendered = reasoner.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|bos|>Problem: Find x.\nSolution:\n<think>\n"


def test_tokenizer_keeps_text_numbers_and_offsets():
    tokenizer = AutoTokenizer.from_pretrained(DEMO / "reasoner")
    text = "Wait, 14 minus 5 is 9. Hmm, 99 is not 100."
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    assert tokenizer.decode(encoded["input_ids"]) == text
    pieces = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert {"14", "99", "100", "Wait"} <= {piece.strip() for piece in pieces}


def test_stored_traces_slice_to_sentences_of_their_label():
    traces = _stored_traces()
    assert len(traces) >= 100
    for trace in traces:
        for part in trace["parts"]:
            kind = kind_of(trace["text"][part["start"] : part["end"]])
            assert kind is not None
            assert label_of(kind) == part["label"]
        assert trace["correct"] == (trace["answer"] == trace["expected"])
        assert "think>" not in trace["text"]


def test_stored_traces_use_no_shown_problem():
    stored = json.loads((DEMO / "prompts.json").read_text())
    shown = {entry["prompt"] for entry in stored["examples"] + stored["heldout"]}
    assert not shown & {trace["prompt"] for trace in _stored_traces()}
