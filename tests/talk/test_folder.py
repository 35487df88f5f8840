"""The talk: order, titles that anyone wrote, items that are there once, and a file that is damaged."""

from __future__ import annotations

import threading

import pytest

from core.disk import codec, files
from core.errors import BadInput, UserFacingError
from core.talk.folder import TALK_ID, TalkFolder
from core.talk.items import MAX_ITEMS, MAX_TITLE, Comparison, ShownFigure, Talk, TalkItem, TalkLane, made_item


def pair_of_runs(number: int, title: str = "") -> TalkItem:
    lanes = (
        TalkLane(run_id=f"{2 * number:020x}", title="unsteered"),
        TalkLane(run_id=f"{2 * number + 1:020x}", title="steered", subtitle="+8 × direction", reference=0),
    )
    return made_item(title, comparison=Comparison(question=f"What is {number}?", lanes=lanes), instead=f"No. {number}")


def figure_of(number: int) -> TalkItem:
    return made_item("", figure=ShownFigure(experiment_id=f"{number:020x}", figure="fig3"), instead="Fig. 3")


@pytest.fixture
def folder(tmp_path):
    return TalkFolder(tmp_path)


def titles(folder):
    return [item.title for item in folder.read().items]


def test_items_keep_the_order_in_which_they_came_and_are_there_again_in_another_process(folder, tmp_path):
    assert folder.read() == Talk()
    for item in (pair_of_runs(1), figure_of(2), pair_of_runs(3)):
        assert folder.add(item)
    assert titles(folder) == ["No. 1", "Fig. 3", "No. 3"]
    assert TalkFolder(tmp_path).read() == folder.read()


def test_an_item_is_there_once_whatever_its_title(folder):
    assert folder.add(pair_of_runs(1))
    assert not folder.add(pair_of_runs(1, "another title"))
    assert titles(folder) == ["No. 1"]


@pytest.mark.parametrize(
    ("at", "by", "order"),
    [(0, 1, "1023"), (3, -1, "0132"), (1, -1, "1023"), (0, -1, "0123"), (3, 9, "0123"), (2, 1, "0132")],
)
def test_an_item_moves_as_far_as_there_are_places(folder, at, by, order):
    items = [pair_of_runs(number, str(number)) for number in range(4)]
    for item in items:
        folder.add(item)
    folder.move(items[at], by)
    assert "".join(titles(folder)) == order


def test_what_another_session_removed_stays_removed(folder):
    item = pair_of_runs(1)
    folder.add(item)
    folder.remove(item)
    folder.move(item, 1)
    folder.rename(item, "again")
    folder.remove(item)
    assert folder.read().items == ()


HOSTILE = [
    "</script><script>alert(1)</script>",
    "a\nb\x00c\u202ed",
    "![x](http://beacon.example)",
    "😀 ≠ \ud800",
    "x" * 999,
]


@pytest.mark.parametrize("title", HOSTILE)
def test_any_title_is_kept_as_one_printable_line(folder, title):
    folder.add(pair_of_runs(1))
    folder.rename(pair_of_runs(1), title)
    (kept,) = titles(folder)
    assert kept.isprintable()
    assert len(kept) <= MAX_TITLE
    assert kept.split()[0][:4] in title.replace("\ud800", "?")


def test_an_empty_title_changes_nothing(folder):
    folder.add(pair_of_runs(1, "mine"))
    folder.rename(pair_of_runs(1), " \n ")
    assert titles(folder) == ["mine"]


def test_more_than_a_talk_takes_is_refused_with_the_number(folder):
    for number in range(MAX_ITEMS):
        folder.add(pair_of_runs(number))
    with pytest.raises(BadInput, match=f"{MAX_ITEMS} items"):
        folder.add(pair_of_runs(MAX_ITEMS))
    assert len(titles(folder)) == MAX_ITEMS


def test_items_that_sessions_add_at_once_are_all_there(tmp_path):
    def add(number):
        TalkFolder(tmp_path).add(pair_of_runs(number))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(titles(TalkFolder(tmp_path))) == sorted(f"No. {number}" for number in range(12))


def test_a_damaged_talk_is_no_empty_one(folder, tmp_path):
    folder.add(pair_of_runs(1))
    (path,) = (tmp_path / "talk").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    for action in (folder.read, lambda: folder.add(pair_of_runs(2))):
        with pytest.raises(BadInput, match="damaged"):
            action()
    folder.clear()
    assert folder.read() == Talk()


BROKEN = {
    "a run that is a path": lambda: TalkLane(run_id="../../etc/passwd", title=""),
    "no lane": lambda: Comparison(question="", lanes=()),
    "five lanes": lambda: Comparison(question="", lanes=(TalkLane(run_id="0" * 20, title=""),) * 5),
    "a reference beyond": lambda: Comparison(question="", lanes=(TalkLane(run_id="0" * 20, title="", reference=1),)),
    "neither": lambda: TalkItem(title="x"),
    "two lines": lambda: TalkItem(title="a\nb", figure=ShownFigure(experiment_id="0" * 20, figure="fig3")),
    "twice": lambda: Talk(items=(pair_of_runs(1), pair_of_runs(1, "b"))),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_a_file_cannot_hold_what_no_talk_holds(make):
    with pytest.raises(ValueError):
        make()


def test_a_figure_that_is_none_is_damage(tmp_path):
    folder = TalkFolder(tmp_path)
    folder.add(figure_of(1))
    (path,) = (tmp_path / "talk").glob("*.safetensors")
    odd = codec.dump(folder.read(), key=TALK_ID).replace(b"fig3", b"fig9")
    path.write_bytes(odd)
    with pytest.raises(BadInput):
        TalkFolder(tmp_path).read()


def test_what_the_disk_refuses_is_said(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(UserFacingError, match="No space left"):
        folder.add(pair_of_runs(1))


def test_joining_appends_what_is_new_and_keeps_the_titles_here():
    mine = Talk(items=(pair_of_runs(1, "mine"), figure_of(2)))
    theirs = Talk(items=(pair_of_runs(3), pair_of_runs(1, "theirs")))
    assert [item.title for item in mine.joined(theirs).items] == ["mine", "Fig. 3", "No. 3"]
    assert mine.joined(theirs).run_ids == tuple(f"{n:020x}" for n in (2, 3, 6, 7))
    assert mine.experiment_ids == (f"{2:020x}",)
