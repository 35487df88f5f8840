"""Doing something and showing why it cannot be done: at once, after a rerun, and out of a callback."""

from __future__ import annotations

import ast
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]


def page() -> None:
    import streamlit as st

    from core.errors import BadInput
    from ui.components.safe_text import done, tried
    from ui.shell.notice import act, attempt, show_failure, show_notice

    def fail() -> int:
        raise BadInput("Too <long>.", "Cut it.")

    show_notice()
    show_failure("here")
    st.button("callback", on_click=attempt, args=(fail, "here"))
    if st.button("tried"):
        st.text(f"{tried(lambda: 7)} {tried(fail)}")
    if st.button("done"):
        st.text(f"{done(lambda: None)} {done(fail)}")
    if st.button("act"):
        act(lambda: None, "It is changed.")
    if st.button("act in vain"):
        act(fail, "It is changed.")


def pressed(label: str) -> AppTest:
    app = AppTest.from_function(page).run()
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception
    return app


def test_what_is_tried_gives_its_value_or_shows_why_not():
    app = pressed("tried")
    assert app.text[0].value == "7 None"
    assert [error.value for error in app.error] == [r"**Too \<long\>\.** Cut it\."]


def test_what_gives_nothing_says_whether_it_was_done():
    app = pressed("done")
    assert (app.text[0].value, len(app.error)) == ("True False", 1)


def test_a_change_starts_over_with_its_notice_or_shows_why_not():
    assert [box.value for box in pressed("act").success] == ["It is changed."]
    failed = pressed("act in vain")
    assert (len(failed.error), len(failed.success)) == (1, 0)


def test_a_failure_in_a_callback_is_shown_once():
    app = pressed("callback")
    assert len(app.error) == 1
    assert not app.run().error


def test_showing_an_error_that_was_just_caught_is_written_once():
    """Elsewhere `tried`, `done`, `attempt` or `guarded` do it."""
    found = []
    for path in [*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and f"show_error({node.name})" == ast.unparse(node.body[0]):
                found.append(path.relative_to(ROOT).as_posix())
    assert found == ["ui/components/safe_text.py"]
