"""What of a fast transformers tokenizer is used here, as a type. No weights, no work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


class FastTokenizer(Protocol):
    """A tokenizer whose tokens know their characters in the text (a slow one does not)."""

    bos_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    add_bos_token: bool
    """Setting it makes the tokenizer begin with its start token when it adds special tokens, or not."""
    chat_template: str | Mapping[str, str] | None
    """One template, or several by name."""

    @property
    def is_fast(self) -> bool:
        """Whether it is one; False for a slow tokenizer."""

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the `tokenizers` library that does the work."""

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """Added tokens by id."""

    @property
    def special_tokens_map(self) -> Mapping[str, object]:
        """Texts of the special tokens by name; a list of them under some names."""

    def __len__(self) -> int:
        """Number of tokens, added ones included."""

    def get_vocab(self) -> dict[str, int]:
        """Ids by token, added ones included."""

    def get_added_vocab(self) -> dict[str, int]:
        """Ids of the added tokens."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text."""

    def batch_decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """The text of each sequence of token ids."""
