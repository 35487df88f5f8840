"""Which tokens begin a keyword: those that are one, and first tokens of split forms that begin no other word.

Knows the tokenizer and the texts of its tokens, no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from core.errors import BadInput
from core.text.words import COMMON_WORDS

LINE_START, AFTER_SPACE = "\n", "a "
"""What stands before a word that opens a line, and before one within it."""
_SPACE_MARKS = ("Ġ", "▁", " ")


@dataclass(frozen=True, kw_only=True)
class SplitForm:
    """A way to write a keyword that takes several tokens."""

    text: str
    opens_line: bool
    """Whether it opens a line; else a space stands before it."""
    first: str
    """Its first token's text without white space."""


@dataclass(frozen=True, kw_only=True)
class KeywordForms:
    """How a tokenizer writes keywords."""

    ids: tuple[int, ...]
    """Token ids that begin a keyword, in order."""
    by_first: tuple[SplitForm, ...] = ()
    """Split forms that count by their first token."""
    left_out: tuple[SplitForm, ...] = ()
    """Split forms that do not count, since their first token begins other words too."""


def find_keyword_forms(backend: Tokenizer, texts: Sequence[str], keywords: Sequence[str]) -> KeywordForms:
    """The forms of the keywords; texts (d_vocab,) are those of all tokens.

    A token whose text, without surrounding white space and case, is a keyword counts. A form that is split counts by
    its first token where that is more than a letter and begins no other word: no common word, and no beginning of a
    word that the vocabulary holds, becomes the same first token when it is written in the same place and case. Raises
    BadInput where nothing counts.
    """
    wanted = {word.strip().casefold() for word in keywords} - {""}
    if not wanted:
        raise BadInput("There are no keywords.", 'Give at least one word, for example "wait".')
    whole = {i for i, text in enumerate(texts) if text.strip().casefold() in wanted}
    others = {*COMMON_WORDS, *_beginnings(backend, texts)} - wanted
    ids, by_first, left_out = set(whole), list[SplitForm](), list[SplitForm]()
    for form in dict.fromkeys(form for word in keywords for form in _cases(word)):
        for before in (LINE_START, AFTER_SPACE):
            token = _first_token(backend, before, form)
            if token in whole:
                continue
            first = texts[token].strip() if token < len(texts) else ""
            split = SplitForm(text=form, opens_line=before == LINE_START, first=first)
            rivals = (word for word in others if _is_rival(word, first.casefold(), form.casefold()))
            if _ends_inside_word(form, first) and token not in _first_tokens(backend, before, form, rivals):
                ids.add(token)
                by_first.append(split)
            else:
                left_out.append(split)
    if not ids:
        raise BadInput(
            f"The tokenizer splits every form of {', '.join(sorted(wanted))[:80]}, and other words begin alike.",
            "Give words that its vocabulary holds as one token.",
        )
    return KeywordForms(ids=tuple(sorted(ids)), by_first=tuple(by_first), left_out=tuple(left_out))


def _cases(word: str) -> tuple[str, ...]:
    lower = word.strip().lower()
    return (lower, lower[:1].upper() + lower[1:]) if lower else ()


def _beginnings(backend: Tokenizer, texts: Sequence[str]) -> set[str]:
    """What the vocabulary holds after a space, case folded: words, and beginnings of words that it splits."""
    known = backend.get_vocab(with_added_tokens=False).items()
    marked = {texts[i].strip().casefold() for token, i in known if token[:1] in _SPACE_MARKS and i < len(texts)}
    return {text for text in marked if text.isalpha()}


def _first_token(backend: Tokenizer, before: str, form: str) -> int:
    """The id of the token that the form's first character lies in."""
    found = backend.encode(before + form, add_special_tokens=False)
    return next(i for i, (_, end) in zip(found.ids, found.offsets, strict=True) if end > len(before))


def _first_tokens(backend: Tokenizer, before: str, form: str, words: Iterable[str]) -> Iterator[int]:
    """Of each word, written in the form's case."""
    capital = form[:1].isupper()
    return (_first_token(backend, before, word[:1].upper() + word[1:] if capital else word) for word in words)


def _ends_inside_word(form: str, first: str) -> bool:
    """Whether `first` is a beginning of the form that ends between two letters; "let" is none of "let's".

    A single letter, of scripts that have capitals, begins other words for certain.
    """
    is_letter = len(first) == 1 and first.lower() != first.upper()
    return bool(first) and not is_letter and form.startswith(first) and form[len(first) : len(first) + 1].isalpha()


def _is_rival(word: str, first: str, form: str) -> bool:
    """Whether a word could begin with the form's first token and be another: "how" for "however", not "hmmm" for "hmm".

    Beginnings of the form itself are other words only where they are common ones.
    """
    if not word.startswith(first) or word.startswith(form):
        return False
    return word in COMMON_WORDS or not form.startswith(word)
