"""What goes to stderr while a command works: one line in place, or a line now and then; closed streams do no harm."""

from __future__ import annotations

import io

import pytest

from core.jobs import Progress
from retrace.console import Console, in_words, progress_line


class Stream(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_terminal_has_one_line_that_is_redrawn(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    stream = Stream(True)
    console = Console(stream, clock=clock)
    for done in range(1, 4):
        clock.now = done
        console.show(Progress(done, 10, "a very long line " * 9), None)
    console.say("Done.")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\r\x1b[KDone.\n")
    assert all(len(part) < 40 for part in stream.getvalue().split("\r\x1b[K"))


def test_elsewhere_there_is_a_line_now_and_then(clock):
    stream = Stream(False)
    console = Console(stream, clock=clock)
    for second in range(25):
        clock.now = second
        console.show(Progress(second, 25, f"point {second}"), None)
    lines = stream.getvalue().splitlines()
    assert [line.split()[-1] for line in lines] == ["0", "10", "20"]
    assert "\x1b" not in stream.getvalue()


def test_a_dumb_terminal_is_none(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Stream(True)
    Console(stream, clock=clock).show(Progress(1, 2, "half"), 5)
    assert stream.getvalue() == "50% · half · about 5 s left\n"


def test_control_characters_do_not_reach_the_terminal(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(True)
    Console(stream, clock=clock).show(Progress(1, 2, "model \x1b]0;mine\x07 name\nsecond"), None)
    assert "\x1b]" not in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_a_closed_stream_does_not_stop_the_work():
    class Closed(Stream):
        def write(self, text):
            raise BrokenPipeError

    console = Console(Closed(False))
    console.say("nobody reads this")
    console.show(Progress(1, 2), 3)
    console.clear()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (42, "42 s"), (89, "89 s"), (600, "10 min"), (5 * 3600, "5.0 h")]
)
def test_times_have_the_unit_that_fits(seconds, words):
    assert in_words(seconds) == words


def test_progress_without_a_total_has_no_share():
    assert progress_line(Progress(0, 0, "starting"), None) == "starting"


def test_nothing_to_say_is_no_line(clock):
    stream = Stream(False)
    Console(stream, clock=clock).show(Progress(0, 0), None)
    assert stream.getvalue() == ""
