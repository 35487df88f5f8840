"""How many threads draw pages at once."""

import threading
import time

import pytest

from ui.shell.turns import Turns


def _all_of(threads):
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
        assert not one.is_alive()


def test_never_more_than_so_many_draw_at_once_and_all_come_to_it():
    turns, drawing, most, drawn = Turns(3), [], [], []

    def draw(who):
        with turns.taken(), turns.taken():
            drawing.append(who)
            most.append(len(drawing))
            time.sleep(0.005)
            drawing.remove(who)
        drawn.append(who)

    _all_of([threading.Thread(target=draw, args=(i,)) for i in range(20)])
    assert max(most) == 3
    assert sorted(drawn) == list(range(20))


def test_who_only_waits_lends_the_turn_and_takes_it_back():
    turns, order, waiting, may_end = Turns(1), [], threading.Event(), threading.Event()

    def waits():
        with turns.taken():
            with turns.lent():
                waiting.set()
                may_end.wait(10)
            order.append("waited")

    def draws():
        waiting.wait(10)
        with turns.taken():
            order.append("drawn")
            may_end.set()
            time.sleep(0.05)
            order.append("still the only one")

    _all_of([threading.Thread(target=waits), threading.Thread(target=draws)])
    assert order == ["drawn", "still the only one", "waited"]


def test_a_page_that_ends_with_an_error_gives_its_turn_back():
    turns = Turns(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="page"), turns.taken():
            raise ValueError("page")
    with turns.lent(), turns.taken():
        pass
