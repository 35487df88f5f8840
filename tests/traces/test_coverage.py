"""What a window covers and what falls off, against counting by hand."""

import random

import numpy as np
import pytest

from core.traces.coverage import EventTable, cover, event_positions
from core.traces.events import window_positions
from core.traces.work import table_events
from core.values import Event, Part, Trace, Window

PART = Part(label="backtracking", start=0, end=1)


def events(*positions):
    return np.asarray(positions, dtype=np.int64)


@pytest.mark.parametrize(
    ("position", "whole", "partly", "off"),
    [(0, 0, 0, 1), (7, 0, 0, 1), (8, 0, 1, 0), (12, 0, 1, 0), (13, 1, 0, 0), (99, 1, 0, 0)],
)
def test_the_papers_window_needs_thirteen_tokens_before_the_event(position, whole, partly, off):
    found = cover(events(position), Window(start=-13, stop=-7), 100)
    assert (found.n_whole, found.n_partly, found.n_off) == (whole, partly, off)


def test_a_window_behind_the_event_falls_off_the_end():
    found = cover(events(97, 99), Window(start=1, stop=4), 100)
    assert (found.n_whole, found.n_partly, found.n_off, found.n_positions) == (0, 1, 1, 2)


def test_coverage_equals_counting_position_by_position():
    draw = random.Random(0)
    for _ in range(200):
        length = draw.randint(1, 60)
        positions = events(*sorted(draw.sample(range(length), draw.randint(0, min(6, length)))))
        start = draw.randint(-20, 8)
        window = Window(start=start, stop=start + draw.randint(1, 9))
        spread = [[p + o for o in range(window.start, window.stop)] for p in positions]
        inside = [sum(0 <= p < length for p in row) for row in spread]
        found = cover(positions, window, length)
        size = window.stop - window.start
        assert (found.n_whole, found.n_off) == (inside.count(size), inside.count(0))
        assert found.n_partly == len(inside) - inside.count(size) - inside.count(0)
        made = [Event(position=int(p), part=PART) for p in positions]
        assert found.n_positions == len(window_positions(made, window, first=0, stop=length))


def test_a_set_is_the_sum_of_its_traces():
    table = EventTable(
        label="backtracking", lengths=events(100, 20), positions=(events(5, 50), events(19)), n_too_long=0
    )
    found = table.coverage(Window(start=-13, stop=-7))
    assert (found.n_events, found.n_whole, found.n_off, found.n_positions) == (3, 2, 1, 12)


class Words:
    """Stands in for the pair: words of a text are its tokens, and at most five are read."""

    def facts(self, role):
        return type("Facts", (), {"context_length": 5})

    def locate(self, role, question, text):
        assert role == "base"
        spans, at = [], 0
        for word in text.split(" "):
            spans.append((at, at + len(word)))
            at += len(word) + 1
        return type("Reading", (), {"spans": spans, "token_ids": range(len(spans))})


def test_events_are_found_trace_by_trace_and_what_is_too_long_is_counted():
    part = Part(label="backtracking", start=2, end=3)
    again = Part(label="backtracking", start=2, end=5)
    traces = [
        Trace(trace_id="a", prompt="", text="a b c d", parts=(part, again)),
        Trace(trace_id="long", prompt="", text="a b c d e f", parts=(part,)),
        Trace(trace_id="b", prompt="", text="a b c"),
    ]
    assert event_positions(traces[0], "backtracking", [(0, 1), (2, 3), (4, 5)]).tolist() == [1]
    work = table_events(Words(), "base", iter(traces), "backtracking", total=3)
    steps = [next(work) for _ in range(3)]
    assert [step.done for step in steps] == [1, 2, 3]
    with pytest.raises(StopIteration) as end:
        next(work)
    table = end.value.value
    assert table.lengths.tolist() == [4, 6, 3]
    assert [row.tolist() for row in table.positions] == [[1], [1], []]
    assert table.n_too_long == 1
