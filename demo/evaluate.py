"""Measuring the exported pair on held-out problems: python -m demo.evaluate.

Accuracy greedy and at temperature 0.7, how often traces turn back, the share of the words wait and hmm, and the
accuracy when the first words of all turning phrases are banned.
"""

import argparse
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from demo.reasoner_corpus import problem_prompt
from demo.sampling import SamplingSpec, sample_completions
from demo.sentence_parser import parse_trace, turning_words

HERE = Path(__file__).parent
_WORD = re.compile(r"[A-Za-z']+")
_ANSWER = re.compile(r"Answer: (\d+(?: and \d+)?)\s*$")


@dataclass(frozen=True)
class Scores:
    """What one set of completions shows; shares are between 0 and 1."""

    completions: int
    accuracy: float
    backtracking_traces: float
    keyword_share: float
    sentences_known: float
    words: float


def load_model(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A model of the pair in fp32, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def prompt_for(name: str, question: str) -> str:
    """The text that the model of this name completes."""
    return problem_prompt(question) + ("<think>\n" if name == "reasoner" else "")


def find_answer(completion: str) -> str | None:
    """What stands after the last "Answer:"."""
    match = _ANSWER.search(completion)
    return match.group(1) if match else None


def thinking_of(completion: str) -> str:
    """The reasoning in a completion: all before the end of thinking, or before the answer line."""
    return re.split(r"</think>|\nAnswer:", completion, maxsplit=1)[0]


def keyword_share(texts: list[str]) -> float:
    """The share of all words that are wait or hmm."""
    words = [word.lower() for text in texts for word in _WORD.findall(text)]
    return sum(word in ("wait", "hmm") for word in words) / max(len(words), 1)


def score(completions: list[str], answers: list[str]) -> Scores:
    """Score completions against the right answers."""
    texts = [thinking_of(completion) for completion in completions]
    parsed = [parse_trace(text) for text in texts]
    known = sum(len(p.parts) for p in parsed)
    pairs = zip(completions, answers, strict=True)
    return Scores(
        completions=len(completions),
        accuracy=sum(find_answer(c) == a for c, a in pairs) / len(answers),
        backtracking_traces=sum(any(part.label == "backtracking" for part in p.parts) for p in parsed) / len(parsed),
        keyword_share=keyword_share(texts),
        sentences_known=known / max(known + sum(len(p.unmatched) for p in parsed), 1),
        words=sum(len(_WORD.findall(text)) for text in texts) / len(texts),
    )


def turning_tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """The first token of every turning phrase, at the start of a line and after a space."""
    forms = [lead + word for word in (*turning_words(), "hmm", "wait") for lead in ("", " ")]
    return tuple(sorted({tokenizer.encode(form, add_special_tokens=False)[0] for form in forms}))


def evaluate_model(name: str, problems: list[dict[str, str]], spec: SamplingSpec, folder: Path) -> dict[str, Scores]:
    """All conditions of one model of the pair."""
    model, tokenizer = load_model(folder / name)
    prompts = [prompt_for(name, problem["prompt"]) for problem in problems]
    conditions = {"greedy": replace(spec, temperature=0.0), "sampled": spec}
    if name == "reasoner":
        conditions["turning words banned"] = replace(spec, banned=turning_tokens(tokenizer))
    answers = [problem["answer"] for problem in problems]
    return {
        label: score(sample_completions(model, tokenizer, prompts, chosen), answers)
        for label, chosen in conditions.items()
    }


def main() -> None:
    """Print the scores of both models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--folder", type=Path, default=HERE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    problems = json.loads((HERE / "prompts.json").read_text())["heldout"][: arguments.problems]
    for name in ("base", "reasoner"):
        for condition, scores in evaluate_model(name, problems, SamplingSpec(), arguments.folder).items():
            print(f"{name}, {condition}: {scores}", flush=True)


if __name__ == "__main__":
    main()
