"""Which tokens begin a keyword: whole forms, and split ones by a first token that begins nothing else."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from core.errors import BadInput
from core.text.words import COMMON_WORDS
from core.tokens.keywords import find_keyword_forms

HM = [("H", "m"), ("Ġ", "Hm"), ("ĠHm", "m")]
"""Makes " Hmm" one token, and "Hmm" at the start of a line two: "Hm", "m"."""
H = [("m", "m"), ("Ġ", "H"), ("ĠH", "mm")]
"""The same with "H", "mm", as in the large vocabularies."""


def byte_level(*merges):
    """A byte-level BPE tokenizer with these merges."""
    items = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={item: i for i, item in enumerate(items)}, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentence_piece(*merges):
    """The other kind: a space is part of the word as ▁, and every text begins with one."""
    letters = "▁" + "abcdefghijklmnopqrstuvwxyzHW\n"
    items = [*letters, *dict.fromkeys(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={item: i for i, item in enumerate(items)}, merges=list(merges)))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    return tokenizer


def forms_of(tokenizer, *keywords):
    texts = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    return find_keyword_forms(tokenizer, texts, keywords)


def tokens(tokenizer, forms):
    return {tokenizer.id_to_token(i) for i in forms.ids}


def said(forms):
    return {(form.text, form.opens_line, form.first) for form in forms}


def test_a_form_that_is_split_at_the_start_of_a_line_counts_by_its_first_token():
    tokenizer = byte_level(*HM)
    assert tokenizer.encode("\nHmm").tokens == ["Ċ", "Hm", "m"]
    assert tokenizer.encode("a Hmm").tokens == ["a", "ĠHmm"]
    forms = forms_of(tokenizer, "hmm")
    assert tokens(tokenizer, forms) == {"ĠHmm", "Hm"}
    assert said(forms.by_first) == {("Hmm", True, "Hm")}


def test_so_it_does_where_a_space_is_part_of_the_word():
    tokenizer = sentence_piece(("H", "m"), ("▁", "Hm"), ("▁Hm", "m"))
    assert tokenizer.encode("a\nHmm").tokens == ["▁", "a", "\n", "Hm", "m"]
    forms = forms_of(tokenizer, "hmm")
    assert tokens(tokenizer, forms) == {"▁Hmm", "Hm"}
    assert said(forms.by_first) == {("Hmm", True, "Hm")}


def test_a_first_token_that_begins_common_words_does_not_count_and_is_named():
    tokenizer = byte_level(*H)
    assert {"he", "how"} <= COMMON_WORDS
    forms = forms_of(tokenizer, "hmm")
    assert tokens(tokenizer, forms) == {"ĠHmm"}
    assert said(forms.left_out) == {("Hmm", True, "H"), ("hmm", True, "h"), ("hmm", False, "h")}


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ([("o", "n"), ("on", "g"), ("ĠHm", "ong")], False),
        ([("o", "n"), ("on", "g"), ("ĠHm", "ong"), ("Hm", "ong")], True),
        ([("ĠHmm", "m")], True),
    ],
)
def test_a_word_of_the_vocabulary_counts_against_it_only_if_it_begins_with_the_same_token(more, counts):
    """ " Hmong" alone: at a line's start it begins with "Hm", too. "Hmong" as a token of its own does not. "Hmmm" is a
    longer "hmm"."""
    tokenizer = byte_level(*HM, *more)
    assert ("Hm" in tokens(tokenizer, forms_of(tokenizer, "hmm"))) is counts


@pytest.mark.parametrize(
    ("keyword", "merges"),
    [
        ("waiting", [("w", "a"), ("wa", "i"), ("wai", "t"), ("i", "n"), ("in", "g"), ("Ġ", "wait"), ("Ġwait", "ing")]),
        ("however", [("H", "o"), ("Ho", "w"), ("e", "v"), ("ev", "e"), ("eve", "r"), ("Ġ", "How"), ("ĠHow", "ever")]),
        ("hold on", [("H", "o"), ("Ho", "l"), ("Hol", "d"), ("Ġ", "Hold")]),
    ],
)
def test_a_keyword_that_begins_with_another_word_does_not_count_that_word(keyword, merges):
    tokenizer = byte_level(*HM, *merges)
    forms = forms_of(tokenizer, keyword, "hmm")
    assert not tokens(tokenizer, forms) & {"wait", "Ġwait", "How", "ĠHow", "Hold", "ĠHold"}
    assert any(form.text.lower() == keyword for form in forms.left_out)


def test_two_keywords_that_begin_alike_do_not_stand_in_each_others_way():
    tokenizer = byte_level(*HM, ("o", "n"), ("on", "g"), ("ĠHm", "ong"))
    assert {"Hm", "ĠHmm", "ĠHmong"} == tokens(tokenizer, forms_of(tokenizer, "hmm", "hmong"))


def test_keywords_of_which_no_form_counts_are_refused():
    with pytest.raises(BadInput, match="splits every form of zero"):
        forms_of(byte_level(*HM), "zero")
    with pytest.raises(BadInput, match="no keywords"):
        forms_of(byte_level(*HM), " ", "")
