"""The recipe in one command: python -m demo.train (tokenizer, base, reasoner, export, traces; resumable).

Seed 0 is the embedded pair; the others are the same recipe from another start. Checkpoints and loss curves lie in
demo/runs/seed<n>/; a finished stage is not done again.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from demo import build_tokenizer as tokens
from demo.base_corpus import draw_base_document
from demo.batches import Batch, DrawDocument, stream_batches
from demo.documents import Document
from demo.everyday import write_story
from demo.export import export_pair, write_log
from demo.problems import draw_problem
from demo.reasoner_corpus import trace_document, write_trace
from demo.training import Recipe, new_model, train
from demo.write_prompts import draw_prompt_sets, write_prompts
from demo.write_sentences import write_sentences
from demo.write_traces import write_traces

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
TOKENIZER_DOCUMENTS = 6000
EVERYDAY_SHARE = 0.06


def pair_folder(target: Path, seed: int) -> Path:
    """Where the finished pair of a seed lies below a target; seed 0 is the embedded pair."""
    return target / "seeds" / str(seed) if seed else target


def draw_reasoner_document(rng: Random) -> Document:
    """A reasoning trace, or now and then an everyday story, so that ordinary text is not forgotten."""
    if rng.random() < EVERYDAY_SHARE:
        return Document("<|bos|>", write_story(rng) + "<|eos|>")
    return trace_document(write_trace(draw_problem(rng), rng))


def build_tokenizer(recipe: Recipe, folder: Path) -> Tokenizer:
    """The tokenizer of the run: the committed one of the seed, or one learned from a sample of both corpora."""
    path, committed = folder / "tokenizer.json", pair_folder(HERE, recipe.seed) / "base" / "tokenizer.json"
    if not path.exists() and committed.exists():
        path.write_bytes(committed.read_bytes())
    if not path.exists():
        rng = Random(f"tokenizer {recipe.seed}")
        drawn = [draw(rng) for draw in (draw_base_document, draw_reasoner_document) for _ in range(TOKENIZER_DOCUMENTS)]
        tokens.train_tokenizer(document.prompt + document.completion for document in drawn).save(str(path))
    return Tokenizer.from_file(str(path))


def train_pair(recipe: Recipe, folder: Path, device: str) -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    """The base model, and the reasoner finetuned from it; both resume from their checkpoints."""
    tokenizer = build_tokenizer(recipe, folder)
    special = {f"{name}_token_id": tokenizer.token_to_id(f"<|{name}|>") for name in ("bos", "eos", "pad")}
    size = tokenizer.get_vocab_size()
    base, reasoner = (
        new_model(recipe, vocabulary=size, positions=tokens.MAX_POSITIONS, special=special).to(device) for _ in range(2)
    )
    stream = partial(_stream, draw_base_document, tokenizer, f"base {recipe.seed}", recipe.batch_tokens)
    train(base, stream, folder / "base", recipe=recipe, steps=recipe.base_steps, peak=recipe.base_rate)
    reasoner.load_state_dict(base.state_dict())
    stream = partial(_stream, draw_reasoner_document, tokenizer, f"reasoner {recipe.seed}", recipe.batch_tokens)
    train(reasoner, stream, folder / "reasoner", recipe=recipe, steps=recipe.reasoner_steps, peak=recipe.reasoner_rate)
    return base, reasoner


def _stream(draw: DrawDocument, tokenizer: Tokenizer, name: str, batch_tokens: int, chunk: int) -> Iterator[Batch]:
    return stream_batches(draw, tokenizer, name=name, tokens=batch_tokens, chunk=chunk)


def make_pair(recipe: Recipe, *, name: str, target: Path, device: str) -> None:
    """Train one pair, or go on with it, and write everything that comes with it."""
    folder = HERE / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    base, reasoner = train_pair(recipe, folder, device)
    target.mkdir(parents=True, exist_ok=True)
    export_pair({"base": base, "reasoner": reasoner}, build_tokenizer(recipe, folder), target)
    write_log(folder, target / "log.json")
    _, _, problems = draw_prompt_sets()
    write_traces(problems, target / "reasoner", target / "traces.jsonl", seed=1000 * (recipe.seed + 1))


def main() -> None:
    """Run the stages that are not done yet, for every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--target", type=Path, default=HERE, help="where the finished pairs are written")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    for field in fields(Recipe):
        if field.name != "seed":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    torch.set_num_threads(arguments["threads"])
    recipe = Recipe(**{field.name: arguments[field.name] for field in fields(Recipe) if field.name != "seed"})
    arguments["target"].mkdir(parents=True, exist_ok=True)
    write_prompts(arguments["target"] / "prompts.json")
    write_sentences(arguments["target"] / "sentences.json")
    for seed in arguments["seeds"]:
        target = pair_folder(arguments["target"], seed)
        make_pair(replace(recipe, seed=seed), name=f"seed{seed}", target=target, device=arguments["device"])


if __name__ == "__main__":
    main()
