"""How soon a press is seen: from the click or key to the frame that shows it, measured in the page itself."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, settled

WAIT = 120_000
_SEEN = """() => {
  const app = document.querySelector(".stApp");
  const looks = () => {
    const control = document.querySelector(".stApp [data-asked]");
    const bar = getComputedStyle(app, "::before").opacity;
    return control && getComputedStyle(control).boxShadow !== "none" && bar === "1";
  };
  let pressed = 0;
  const heard = (event) => { pressed ||= event.timeStamp; };
  for (const kind of ["click", "keydown"]) addEventListener(kind, heard, { capture: true });
  window.answered = new Promise((done) => {
    const look = () => {
      if (pressed && performance.now() > pressed + 5000) return done(Infinity);
      if (!pressed || !looks()) return requestAnimationFrame(look);
      for (const kind of ["click", "keydown"]) removeEventListener(kind, heard, { capture: true });
      requestAnimationFrame(() => done(performance.now() - pressed));
    };
    look();
  });
  return 0;
}"""


def answered(page: Page, press: Callable[[], object]) -> float:
    """Milliseconds from a press to the frame after the one in which the control looks pressed and the bar is shown."""
    page.evaluate(_SEEN)
    press()
    found: float = page.evaluate("window.answered")
    return found


def open_run(page: Page, server: Server) -> Callable[[], None]:
    """The playground, and its Run."""
    page.goto(f"{server.url}/playground")
    expect(page.locator("section.lane[data-state=done]").first).to_be_visible(timeout=WAIT)
    settled(page)
    return page.get_by_role("button", name="Run").first.click


def open_extract(page: Page, server: Server) -> Callable[[], None]:
    """The extraction, and its Extract."""
    page.goto(f"{server.url}/extraction")
    button = page.get_by_role("button", name="Extract", exact=True)
    expect(button).to_be_visible(timeout=WAIT)
    settled(page)
    return button.click


def _open_reader(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/attribution")
    expect(page.locator(".t").first).to_be_visible(timeout=WAIT)
    settled(page)


def open_own_text(page: Page, server: Server) -> None:
    """The reader, ready for a text of one's own."""
    _open_reader(page, server)
    page.get_by_role("combobox", name="Text", exact=True).click()
    page.get_by_role("option", name="Your own text").click()
    expect(page.get_by_label("Your text")).to_be_visible(timeout=WAIT)


def open_read(page: Page, server: Server) -> Callable[[], None]:
    """The reader with a text of one's own, and its Read."""
    open_own_text(page, server)
    page.get_by_label("Your text").fill("Wait, that is not right.")
    settled(page)
    return page.get_by_role("button", name="Read this text").click


def open_method(page: Page, server: Server) -> Callable[[], None]:
    """The reader, and another reading."""
    _open_reader(page, server)
    return page.get_by_role("radio", name="Cosine").click


def open_layer(page: Page, server: Server) -> Callable[[], None]:
    """The reader, and another layer by the keyboard."""
    _open_reader(page, server)
    page.get_by_role("slider", name="Layer that is read").focus()
    return lambda: page.keyboard.press("ArrowRight")


CONTROLS: dict[str, Callable[[Page, Server], Callable[[], None]]] = {
    "Run": open_run,
    "Extract": open_extract,
    "Read": open_read,
    "another reading": open_method,
    "another layer": open_layer,
}
"""What is measured, and how one comes to it."""
