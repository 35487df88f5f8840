"""The playground as a person uses it: streaming lanes, Stop, reload, permalinks, a killed server, hostile text."""

import time
import urllib.parse

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import running, settled
from tests.browser.test_shell import forget_probes
from tests.browser.tiny_server import QUESTION, prepare

HOSTILE = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'> ![b](http://beacon.invalid/p.png) $x$"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server on the tiny pair for all tests that leave it running; each asks a question of its own."""
    root = tmp_path_factory.mktemp("tiny")
    with running("app.py", root / "cache", prepare(root, name=HOSTILE[:100])) as started:
        yield started


@pytest.fixture
def own_server(tmp_path):
    """`with own_server() as server`: a server of this test alone; the second call restarts it on the same cache."""
    env = prepare(tmp_path)
    return lambda: running("app.py", tmp_path / "cache", env)


@pytest.fixture
def question(request):
    return f"What is 3 plus 4, {request.node.name}?"


def address(server, **settings):
    query = {"prompt": QUESTION, "tokens": 1600} | settings
    return f"{server.url}/playground?{urllib.parse.urlencode(query)}"


def open_playground(page, server, **settings):
    page.goto(address(server, **settings))
    expect(page.get_by_label("Question", exact=True)).to_be_visible(timeout=60_000)


def lane(page, index):
    return page.locator("section.lane").nth(index)


def n_tokens(page, index):
    return lane(page, index).locator(".tokens [role=option]").count()


def wait_for_tokens(page, index, at_least):
    deadline = time.monotonic() + 30
    while n_tokens(page, index) < at_least:
        assert time.monotonic() < deadline, f"lane {index} has {n_tokens(page, index)} tokens"
        time.sleep(0.05)


def run(page):
    page.get_by_role("button", name="Run", exact=False).first.click()


def state(page, index):
    return lane(page, index).locator(".state")


def test_both_lanes_stream_at_once_and_stop_keeps_the_text(server, page, faults, question):
    open_playground(page, server, prompt=question)
    run(page)
    wait_for_tokens(page, 0, 20)
    wait_for_tokens(page, 1, 20)
    expect(state(page, 0)).to_contain_text("running")
    expect(state(page, 1)).to_contain_text("running")
    page.get_by_role("button", name="Stop").first.click()
    expect(state(page, 0)).to_contain_text("stopped")
    expect(state(page, 1)).to_contain_text("stopped")
    kept = n_tokens(page, 1)
    assert kept >= 20
    page.reload()
    expect(state(page, 1)).to_contain_text(f"stopped · {kept} tokens")
    forget_probes(faults)


def test_sliders_pages_and_reloads_do_not_harm_a_run(server, page, faults, question):
    open_playground(page, server, prompt=question)
    run(page)
    wait_for_tokens(page, 0, 10)
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("slider", name="Layer").press("ArrowRight")
    page.keyboard.press("Escape")
    before = n_tokens(page, 0)
    wait_for_tokens(page, 0, before + 10)
    page.get_by_test_id("stSidebarNav").get_by_text("Home").click()
    expect(page.get_by_text("Running now")).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_text("Steering playground").click()
    wait_for_tokens(page, 0, before + 20)
    page.reload()
    wait_for_tokens(page, 0, before + 30)
    expect(state(page, 0)).to_contain_text("running")
    page.get_by_role("button", name="Stop").first.click()
    expect(state(page, 0)).to_contain_text("stopped")
    assert n_tokens(page, 0) >= before + 30
    forget_probes(faults)


def test_a_stored_run_comes_back_at_once_and_is_marked(server, page, new_page, faults, question):
    open_playground(page, server, prompt=question, tokens=32)
    run(page)
    expect(state(page, 1)).to_contain_text("done", timeout=30_000)
    texts = [lane(page, i).locator(".tokens").inner_text() for i in (0, 1)]
    assert texts[0] != texts[1]
    expect(lane(page, 1).locator(".diverged")).to_have_count(1)
    other = new_page()
    open_playground(other, server, prompt=question, tokens=32)
    expect(lane(other, 1)).to_contain_text("CACHED")
    assert [lane(other, i).locator(".tokens").inner_text() for i in (0, 1)] == texts
    forget_probes(faults)


def test_a3_a_run_whose_browser_was_closed_is_there_later(own_server, new_page, faults):
    with own_server() as server:
        page = new_page()
        open_playground(page, server, tokens=384)
        run(page)
        wait_for_tokens(page, 0, 5)
        runs = server.cache / "runs"
        assert list(runs.glob("*"))
        page.context.close()
        closed = time.monotonic()
        while list(runs.glob("*")):
            assert time.monotonic() - closed <= 120, "the run does not come to its end"
            time.sleep(0.1)
        again = new_page()
        open_playground(again, server, tokens=384)
        expect(state(again, 1)).to_contain_text("done", timeout=30_000)
        again.context.close()
        forget_probes(faults)


def test_a_killed_server_shows_the_run_as_interrupted_and_runs_it_again(own_server, new_page, faults):
    with own_server() as server:
        page = new_page()
        open_playground(page, server)
        run(page)
        wait_for_tokens(page, 1, 15)
        text = lane(page, 1).locator(".tokens").inner_text()[:30]
        server.process.kill()
        server.process.wait(10)
        page.context.close()
    with own_server() as server:
        page = new_page()
        open_playground(page, server)
        expect(page.get_by_text("was interrupted when the server stopped")).to_be_visible()
        expect(state(page, 1)).to_contain_text("interrupted")
        assert lane(page, 1).locator(".tokens").inner_text().startswith(text)
        page.get_by_role("button", name="Run it again").click()
        expect(page.get_by_text("was interrupted when the server stopped")).to_have_count(0)
        wait_for_tokens(page, 1, 20)
        page.context.close()
    faults.clear()


def test_unknown_values_of_a_link_are_named_and_ignored(server, page, faults):
    open_playground(page, server, operator="explode", seed="abc", tokens=10**9, direction="../../etc/passwd")
    notice = page.get_by_text("The link held values that do not exist here")
    expect(notice).to_contain_text("operator = explode")
    expect(notice).to_contain_text("seed = abc")
    expect(page.get_by_text("does not fit the loaded pair; another is chosen")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=False).first).to_be_enabled()
    forget_probes(faults)


def test_an_empty_question_is_a_sentence_and_the_page_stays_usable(server, page, faults, question):
    open_playground(page, server, prompt=question, tokens=32)
    page.get_by_label("Question", exact=True).fill("")
    page.get_by_label("Question", exact=True).press("Control+Enter")
    run(page)
    expect(page.get_by_test_id("stAlert").first).to_contain_text("empty")
    page.get_by_label("Question", exact=True).fill("Why?")
    page.get_by_label("Question", exact=True).press("Control+Enter")
    run(page)
    expect(state(page, 1)).to_contain_text("done", timeout=30_000)
    forget_probes(faults)


def test_a14_hostile_text_is_shown_literally(server, page, faults):
    open_playground(page, server, prompt=HOSTILE, tokens=32, operator=HOSTILE)
    assert HOSTILE in page.get_by_label("Question", exact=True).input_value()
    run(page)
    expect(state(page, 1)).to_contain_text("done", timeout=30_000)
    page.get_by_role("button", name="Read it token by token").click()
    expect(page.get_by_role("heading", name="Token attribution")).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_text("Extraction").click()
    expect(page.get_by_role("heading", name="Extraction", exact=True)).to_be_visible()
    settled(page)
    page.get_by_text("Change models").click()
    page.get_by_role("combobox", name="Pair").click()
    page.get_by_text("Other models").click()
    for label in ("Base model", "Reasoning model"):
        page.get_by_label(label, exact=True).fill(HOSTILE)
        page.get_by_label(label, exact=True).press("Enter")
    page.get_by_role("button", name="What does it need?").click()
    expect(page.get_by_test_id("stAlert").filter(has_text="script").first).to_be_visible()
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src*=beacon], img[src=x]").count() == 0
    forget_probes(faults)


def visit(page, name):
    page.get_by_role("link", name=name, exact=True).first.click()
    settled(page)


def test_settings_stay_over_a_change_of_pages(server, page, faults):
    open_playground(page, server, prompt="What?", tokens=40, seed=7)
    settled(page)
    asked = page.get_by_label("Question", exact=True)
    asked.fill("Another question?")
    asked.blur()
    settled(page)
    page.get_by_text("Dose strip", exact=True).click()
    settled(page)
    visit(page, "Experiments")
    title = page.get_by_label("Title (optional)")
    title.fill("My title")
    title.blur()
    settled(page)
    visit(page, "Steering playground")
    expect(asked).to_have_value("Another question?")
    expect(page.get_by_role("radio", name="Dose strip")).to_be_checked()
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("tab", name="Length and sampling").click()
    expect(page.get_by_role("spinbutton", name="New tokens at most")).to_have_value("40")
    expect(page.get_by_role("spinbutton", name="Seed", exact=True)).to_have_value("7")
    page.keyboard.press("Escape")
    visit(page, "Experiments")
    expect(title).to_have_value("My title")
    forget_probes(faults)
