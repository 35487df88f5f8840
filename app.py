"""Retrace: find, steer and read the backtracking direction of reasoning models, in the browser."""

from ui.guide.sidebar import draw_guide
from ui.shell.frame import draw_sidebar, navigation, set_up

set_up()
page = navigation()
draw_sidebar()
draw_guide()
page.run()
