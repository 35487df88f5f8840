"""Who is let in: passwords, links for one use, sessions, and how long wrong tries have to wait."""

from __future__ import annotations

import pytest

from core.errors import BadInput
from core.sharing.door import HOURS, LETTERS, MOST, Door, Visit, make_password
from core.sharing.tries import FORGOTTEN, IN_ALL, LONGEST, Tries

WORD = "eight or more"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def door(clock):
    return Door(WORD, clock=clock)


def test_only_the_password_lets_in_and_names_are_made_up_in_turn(door):
    for wrong in ("", WORD.upper(), WORD + " ", WORD[:-1]):
        assert Door(WORD).enter(wrong, "10.0.0.1") == ""
    names = [door.person(door.enter(WORD, "10.0.0.1")).name for _ in range(3)]
    assert names == ["visitor 1", "visitor 2", "visitor 3"]
    assert door.person("") is None
    assert door.person("x") is None


def test_a_password_outside_ascii_is_compared_too(clock):
    door = Door("Größe, 尺寸 🙂", clock=clock)
    assert door.enter("\udcff", "a") == ""
    assert door.enter("Größe, 尺寸 🙂", "a")


@pytest.mark.parametrize("password", ["", "short", "x" * 201])
def test_a_password_has_eight_to_two_hundred_characters(password):
    with pytest.raises(BadInput, match="characters"):
        Door(password)


def test_made_up_passwords_have_no_letters_that_look_alike():
    made = {make_password() for _ in range(200)}
    assert len(made) == 200
    assert not set("il1o0") & set(LETTERS)
    assert {len(one) for one in made} == {10}


def test_a_session_ends_by_age_and_by_leaving(door, clock):
    first, second = door.enter(WORD, "a"), door.enter(WORD, "a")
    door.leave(first)
    assert (door.person(first), door.n_visitors()) == (None, 1)
    clock.now += HOURS * 3600 - 1
    assert door.person(second)
    clock.now += 2
    assert (door.person(second), door.n_visitors()) == (None, 0)


def test_a_key_makes_one_speaker(door):
    key, other = door.new_key(), door.new_key()
    token = door.enter_by_key(key)
    assert door.person(token).is_speaker
    assert door.enter_by_key(key) == ""
    assert door.enter_by_key("") == ""
    assert door.enter_by_key(other)


def test_neither_password_nor_tokens_are_kept_as_they_are(door):
    token, key = door.enter(WORD, "a"), door.new_key()
    assert not [word for word in (WORD, token, key) if word in repr(vars(door))]


def test_with_too_many_sessions_the_one_not_seen_for_longest_ends_and_never_the_speakers(door, clock):
    speaker = door.enter_by_key(door.new_key())
    tokens = []
    for _ in range(MOST - 1):
        clock.now += 1
        tokens.append(door.enter(WORD, "a"))
    clock.now += 1
    door.person(tokens[0])
    door.enter(WORD, "a")
    assert door.person(tokens[0])
    assert door.person(tokens[1]) is None
    assert door.person(speaker)


def test_waits_grow_with_every_wrong_password_and_are_forgotten(clock):
    tries, waits = Tries(clock), []
    for _ in range(12):
        tries.wrong("10.0.0.1")
        waits.append(tries.wait("10.0.0.1"))
        clock.now += waits[-1]
    assert waits == [0, 0, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST, LONGEST]
    assert tries.wait("10.0.0.2") == 0
    clock.now += FORGOTTEN
    assert tries.wait("10.0.0.1") == 0
    tries.wrong("10.0.0.1")
    assert tries.wait("10.0.0.1") == 0


def test_while_an_address_waits_the_right_password_is_not_looked_at(door, clock):
    for _ in range(3):
        door.enter("wrong", "a")
    assert door.wait("a") == 2
    assert door.enter(WORD, "a") == ""
    clock.now += 2
    assert door.enter(WORD, "a")
    assert door.wait("a") == 0


def test_many_addresses_together_wait_too(door, clock):
    for i in range(IN_ALL):
        door.enter("wrong", f"10.0.{i}.1")
    assert 0 < door.wait("10.9.9.9") <= 60
    assert door.enter(WORD, "10.9.9.9") == ""
    clock.now += 61
    assert door.enter(WORD, "10.9.9.9")


def test_a_host_of_ipv6_changes_its_address_for_nothing(clock):
    tries = Tries(clock)
    for i in range(3):
        tries.wrong(f"2001:db8::{i}")
    assert tries.wait("2001:db8::ffff") > 0
    assert tries.wait("2001:db8:0:1::1") == 0
    tries.wrong("::ffff:10.0.0.1"), tries.wrong("10.0.0.1"), tries.wrong("::ffff:10.0.0.1")
    assert tries.wait("10.0.0.1") > 0


def test_what_visitors_asked_is_told_latest_first(door):
    for i in range(3):
        door.note(Visit(name=f"visitor {i}", asked="Why?", how="plain", at=float(i)))
    assert [one.name for one in door.visits()] == ["visitor 2", "visitor 1", "visitor 0"]
