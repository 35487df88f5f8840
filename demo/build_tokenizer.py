"""The pair's tokenizers: one byte-level BPE vocabulary, with numbers as single tokens, and the reasoner's template."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from core.text.thoughts import END_THINK, THINK

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
SPECIAL_TOKENS = [BOS, EOS, PAD, THINK, END_THINK]
VOCABULARY_SIZE = 1280
MAX_POSITIONS = 8192
LARGEST_NUMBER = 130
NUMBER_REPEATS = 400
_WORDS = Regex(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'Problem: ' + message['content'] + '\nSolution:\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '" + THINK + "\n' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], *, seed_numbers: bool = True) -> Tokenizer:
    """Learn the vocabulary; every number up to the largest is shown often enough to become one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_WORDS, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    numbers = ["".join(f" {n}" for n in range(LARGEST_NUMBER + 1)) * NUMBER_REPEATS] if seed_numbers else []
    tokenizer.train_from_iterator([*texts, *numbers], trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, chat: bool) -> None:
    """Write the tokenizer files that AutoTokenizer loads; only the reasoner's has a chat template."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE if chat else None,
    )
    fast.save_pretrained(folder)
