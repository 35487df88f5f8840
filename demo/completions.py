"""Completions of the pair: the text before them, the answer in them, and the tokens that begin a turn."""

import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from core.text.thoughts import END_THINK, THINK
from demo.reasoner_corpus import problem_prompt
from demo.sentence_parser import turning_words

_ANSWER = re.compile(r"Answer: (\d+(?: and \d+)?)\s*$")


def load_model(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A model of the pair in fp32, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def prompt_for(name: str, question: str) -> str:
    """The text that the model of this name completes."""
    return problem_prompt(question) + (f"{THINK}\n" if name == "reasoner" else "")


def find_answer(completion: str) -> str | None:
    """What stands after the last "Answer:"."""
    match = _ANSWER.search(completion)
    return match.group(1) if match else None


def thinking_of(completion: str) -> str:
    """The reasoning in a completion: all before the end of thinking, or before the answer line."""
    return re.split(rf"{END_THINK}|\nAnswer:", completion, maxsplit=1)[0]


def turning_tokens(folder: Path) -> tuple[int, ...]:
    """The first token of every turning phrase, at the start of a line and after a space."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    forms = [lead + word for word in (*turning_words(), "hmm", "wait") for lead in ("", " ")]
    return tuple(sorted({tokenizer.encode(form, add_special_tokens=False)[0] for form in forms}))
