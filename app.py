"""Retrace: find, steer and read the backtracking direction of reasoning models, in the browser."""

from ui.guide.sidebar import draw_guide
from ui.sharing.invite import draw_invite
from ui.shell.frame import draw_sidebar, navigation, set_up
from ui.shell.turns import TURNS
from ui.talk.presenter import offer_stage, on_stage

with TURNS.taken():
    set_up()
    page = navigation()
    draw_sidebar()
    draw_invite()
    draw_guide()
    offer_stage()
    with on_stage(page):
        page.run()
