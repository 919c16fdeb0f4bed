"""The console in a real browser, against the running service."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Playwright, expect, sync_playwright

from tests.integration.accessibility import check_accessible
from tests.integration.conftest import Service

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MARKUP = '<img src=x onerror="window.injected = true">'


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh visitor. The test fails when the browser reports an error or a breach of the policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(10_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    yield page
    context.close()
    assert not problems


@pytest.fixture
def remembered(service: Service, user: str) -> str:
    """A user with two recorded sessions in May, one of which says markup and shows an image."""
    turns = [
        recorded("a", "2026-05-04T08:00:00+02:00", "I drink black coffee every morning before work."),
        recorded("b", "2026-05-12T19:30:00+02:00", f"My cat Mochi walked over the keys: {MARKUP}", picture()),
    ]
    with service.http() as client:
        client.post("/v1/turns", json={"user": user, "turns": turns}).raise_for_status()
        close = {"now": "2026-05-13T00:00:00+02:00"}
        client.post(f"/v1/users/{user}/sessions/close", json=close).raise_for_status()
    return user


def recorded(client_id: str, event_time: str, text: str, *images: str) -> dict[str, object]:
    return {
        "client_id": client_id,
        "event_time": event_time,
        "user_text": text,
        "assistant_text": "Thank you for telling me.",
        "images": [{"url": url, "caption": "A sleeping cat"} for url in images],
    }


def png(colour: tuple[int, int, int] = (60, 120, 90)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(buffer, "PNG")
    return buffer.getvalue()


def picture() -> str:
    return f"data:image/png;base64,{base64.b64encode(png()).decode()}"


def sign_in(page: Page, service: Service, user: str) -> None:
    page.goto(f"{service.url}/#key={service.key}&user={user}")
    expect(page.get_by_role("log", name="Conversation")).to_be_visible()


def say(page: Page, text: str) -> None:
    """Send a message and wait for the end of its reply."""
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn").last.locator("details.steps")).to_be_visible()


def test_sign_in_by_hand(page: Page, service: Service, user: str) -> None:
    page.goto(service.url)
    page.get_by_label("API key").fill(service.key)
    page.get_by_label("User id").fill(user)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#who")).to_have_text(user)
    page.reload()
    expect(page.locator("#who")).to_have_text(user)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_link_signs_in_and_leaves_no_key_in_the_address(page: Page, service: Service, user: str) -> None:
    sign_in(page, service, user)
    assert page.url == f"{service.url}/"
    assert service.key not in page.evaluate("JSON.stringify(history.state)")


def test_a_wrong_key_is_refused_in_words(browser: Browser, service: Service, user: str) -> None:
    page = browser.new_page()
    page.goto(f"{service.url}/#key=pvlm-wrong&user={user}")
    with service.http("pvlm-wrong") as client:
        said = client.get("/v1/models").json()["error"]["message"]
    expect(page.get_by_role("alert")).to_have_text(said)
    assert page.evaluate("sessionStorage.length") == 0
    page.close()


def test_a_reply_streams_and_shows_its_steps(page: Page, service: Service, remembered: str) -> None:
    sign_in(page, service, remembered)
    say(page, "What do I drink every morning?")
    reply = page.get_by_role("article", name="Assistant")
    expect(reply).to_contain_text("coffee")
    expect(reply).to_have_attribute("aria-busy", "false")
    reply.locator("summary").click()
    step = reply.locator(".step-list > li").first
    expect(step).to_contain_text("Searched memory")
    for name in ("Thought", "Keywords", "Window", "Found"):
        expect(step.locator("dt", has_text=name)).to_be_visible()
    expect(step.locator(".finding", has_text="coffee").first).to_contain_text("4 May 2026")
    newest = page.locator("#timeline .entry[data-kind=turn]").first
    expect(newest).to_contain_text("What do I drink every morning?")


def test_an_image_is_sent_and_comes_back(page: Page, service: Service, user: str) -> None:
    sign_in(page, service, user)
    image = FilePayload(name="cup.png", mimeType="image/png", buffer=png((200, 40, 40)))
    page.locator("#image").set_input_files(image)
    expect(page.locator("#attachment-name")).to_have_text("cup.png")
    say(page, "This is my favourite cup.")
    thumb = page.locator("#timeline .entry[data-kind=turn] img")
    expect(thumb).to_have_js_property("naturalWidth", 32)
    assert str(thumb.get_attribute("src")).startswith("blob:")


def test_what_is_not_an_image_is_refused(page: Page, service: Service, user: str) -> None:
    sign_in(page, service, user)
    file = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"text")
    page.locator("#image").set_input_files(file)
    expect(page.locator("#notice")).to_contain_text("PNG, JPEG and WebP")
    expect(page.locator("#attachment")).to_be_hidden()


def test_stop_ends_a_reply(page: Page, service: Service, user: str) -> None:
    sign_in(page, service, user)
    page.route("**/v1/chat/completions", lambda route: None)  # a reply that never begins
    page.get_by_role("textbox", name="Message").fill("Tell me everything.")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("article", name="Assistant")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_markup_in_a_memory_stays_text(page: Page, service: Service, remembered: str) -> None:
    sign_in(page, service, remembered)
    entry = page.locator("#timeline .entry[data-kind=turn]", has_text="Mochi")
    expect(entry).to_contain_text(MARKUP)
    entry.click()
    expect(page.get_by_role("dialog")).to_contain_text(MARKUP)
    page.get_by_role("button", name="Close").click()
    say(page, f"What about Mochi and {MARKUP}?")
    page.locator("summary").click()
    expect(page.locator(".finding", has_text=MARKUP).first).to_be_visible()
    assert page.evaluate("window.injected") is None
    assert page.locator("img[src=x]").count() == 0


def test_memories_are_filtered_searched_and_deleted(page: Page, service: Service, remembered: str) -> None:
    sign_in(page, service, remembered)
    expect(page.get_by_role("heading", name="May 2026")).to_be_visible()
    page.get_by_role("radio", name="Semantic").check()
    expect(page.locator("#timeline .entry:not([data-kind=semantic])")).to_have_count(0)
    page.get_by_role("searchbox").fill("coffee")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#memories-count")).to_contain_text("“coffee”")
    entry = page.locator("#timeline .entry", has_text="coffee")
    expect(entry).to_have_count(1)
    entry.click()
    dialog = page.locator("#memory")
    expect(dialog).to_contain_text("Held since 4 May 2026")
    expect(dialog.locator(".evidence")).to_contain_text("I drink black coffee every morning")
    page.get_by_role("button", name="Delete memory").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(entry).to_have_count(0)


def test_an_episode_leads_to_others_of_its_thread(page: Page, service: Service, user: str) -> None:
    said = [
        "A flat in Linden Street, it has a balcony.",
        "The flat in Linden Street is ours, balcony and all!",
    ]
    turns = [recorded(str(i), f"2026-05-{4 + 9 * i:02}T08:00:00+02:00", text) for i, text in enumerate(said)]
    with service.http() as client:
        client.post("/v1/turns", json={"user": user, "turns": turns}).raise_for_status()
        close = {"now": "2026-05-20T00:00:00+02:00"}
        client.post(f"/v1/users/{user}/sessions/close", json=close).raise_for_status()
    sign_in(page, service, user)
    page.get_by_role("radio", name="Episodic").check()
    page.locator("#timeline .entry", has_text="is ours").click()
    thread = page.locator("#memory .thread")
    expect(thread.get_by_role("listitem")).to_have_count(1)
    thread.get_by_role("button", name="it has a balcony").click()
    expect(page.locator("#memory .memory-text").first).to_contain_text("it has a balcony")
    expect(thread).to_contain_text("shares")
    expect(thread).to_contain_text("Linden")


def test_dates_bound_the_timeline(page: Page, service: Service, remembered: str) -> None:
    sign_in(page, service, remembered)
    page.get_by_label("From", exact=True).fill("2026-05-10")
    page.get_by_label("To", exact=True).fill("2026-05-20")
    page.get_by_role("button", name="Search").click()
    turns = page.locator("#timeline .entry[data-kind=turn]")
    expect(turns).to_have_count(1)
    expect(turns).to_contain_text("Mochi")
    page.get_by_role("button", name="Clear").click()
    expect(turns).to_have_count(2)


def test_the_personality_is_shown_withdrawn_and_reset(page: Page, service: Service, user: str) -> None:
    sign_in(page, service, user)
    say(page, "I love meeting new people and I am always curious about art, it is wonderful!")
    page.get_by_role("button", name="Personality").click()
    expect(page.locator("svg.curve .line")).to_have_count(5)
    expect(page.locator("table.scores tr")).to_have_count(5)
    page.get_by_role("button", name="Reset profile").click()
    page.get_by_role("button", name="Reset", exact=True).click()
    column = page.locator("svg.curve .column[tabindex='0']")
    expect(column).to_have_attribute("aria-label", re.compile("openness 3.0, .*neuroticism 3.0"))
    expect(page.locator("table.scores caption")).to_contain_text("Reset to neutral")
    column.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("table.scores caption")).to_contain_text("Inferred from what you said (1 turn)")
    page.get_by_role("switch", name="Adapt to my personality").uncheck()
    expect(page.get_by_text("Off: answers do not use what is below.")).to_be_visible()
    with service.http() as client:
        assert client.get(f"/v1/users/{user}/profile").json()["consent"] is False


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(page: Page, service: Service, remembered: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(service.url)
    expect(page.get_by_label("API key")).to_be_visible()
    check_accessible(page)
    sign_in(page, service, remembered)
    say(page, "What do I drink every morning?")
    page.locator("summary").click()
    check_accessible(page)
    page.get_by_role("button", name="Memories").click()
    expect(page.locator("#timeline .entry").first).to_be_visible()
    check_accessible(page)
    page.locator("#timeline .entry[data-kind=semantic]").first.click()
    expect(page.locator(".versions li").first).to_be_visible()
    check_accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Personality").click()
    expect(page.locator("#personality")).to_be_visible()
    check_accessible(page)


def test_the_page_admits_nothing_but_its_own_files(service: Service) -> None:
    policy = httpx.get(service.url).headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= set(
        policy
    )
    assert httpx.get(f"{service.url}/console/main.js").headers["content-type"].startswith("text/javascript")
    assert httpx.get(f"{service.url}/console/__init__.py").status_code == 404
