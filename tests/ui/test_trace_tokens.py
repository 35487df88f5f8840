"""Parts of a trace in tokens: which of two overlapping ones holds a token."""

from dataclasses import replace

from core.values import Part, Trace
from ui.traces.tokens import TokenTrace

TOKENS = TokenTrace(pieces=tuple("abcd"), spans=((0, 1), (1, 2), (2, 3), (3, 4)), is_words=False)
TRACE = Trace(trace_id="t", prompt="", text="abcd")
OUTER, INNER = Part(label="outer", start=0, end=4), Part(label="inner", start=1, end=3)


def test_a_part_ends_where_an_overlapping_one_begins_in_either_order():
    rows = {OUTER: (0, 1, OUTER), INNER: (1, 3, INNER)}
    for parts in ((OUTER, INNER), (INNER, OUTER)):
        assert TOKENS.placed(replace(TRACE, parts=parts)) == tuple(rows[part] for part in parts)


def test_parts_that_begin_in_one_token_are_both_kept_in_their_order():
    short = Part(label="short", start=0, end=2)
    for parts in ((OUTER, short), (short, OUTER)):
        assert TOKENS.placed(replace(TRACE, parts=parts)) == tuple((0, part.end, part) for part in parts)


def test_a_part_within_a_token_has_that_token_and_one_behind_the_last_has_none():
    cut = replace(TOKENS, spans=((0, 2), (2, 3)))
    within, behind = Part(label="within", start=1, end=2), Part(label="behind", start=3, end=4)
    assert cut.placed(replace(TRACE, parts=(within, behind))) == ((0, 1, within),)
