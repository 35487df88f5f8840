"""The sentence grammar as data, from which the app labels what the pair writes: python -m demo.write_sentences."""

import json
from pathlib import Path

from demo.sentence_parser import grammar

SENTENCES = Path(__file__).parent / "sentences.json"


def write_sentences(target: Path) -> None:
    """Write sentences.json: what a sentence is, and the label and pattern of every phrase kind, in order."""
    target.write_text(json.dumps(grammar()).replace('{"kind"', '\n{"kind"') + "\n")


if __name__ == "__main__":
    write_sentences(SENTENCES)
