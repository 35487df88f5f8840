"""What a page says that it is for is what the README says of it."""

from core.settings import PROJECT
from ui.shell.frame import _PAGES, PURPOSES


def test_the_readme_begins_each_page_with_the_words_of_its_first_screen():
    readme = (PROJECT / "README.md").read_text("utf-8")
    assert [stem for stem, _ in _PAGES] == list(PURPOSES)
    for stem, title in _PAGES:
        assert f"| **{title}** | {PURPOSES[stem]}" in readme
