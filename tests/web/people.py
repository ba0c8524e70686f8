"""People at browsers, and what watches over them."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.servers import HOST

LOCAL = ("about", "blob", "chrome-error", "data")


class Watch:
    """Follows browsers and notes what must not happen in them."""

    def __init__(self):
        self.noted = []
        self.refused = set()

    def follow(self, context):
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.noted.append(("error in the page", str(error.error), None)))
        context.on("request", self._see)
        context.on("response", self._answered)

    @property
    def problems(self):
        """An error page is said to have failed to load; that is the only failure that passes."""
        return [f"{what}: {text}" for what, text, page in self.noted if page not in self.refused]

    def _hear(self, message):
        if message.type in ("error", "warning"):
            url, failed_to_load = message.location["url"], message.text.startswith("Failed to load resource")
            self.noted.append(("console", f"{message.text} ({url})", url if failed_to_load else None))

    def _see(self, request):
        url = urlsplit(request.url)
        if url.scheme not in LOCAL and url.hostname != HOST:
            self.noted.append(("request to elsewhere", request.url, None))

    def _answered(self, response):
        own = response.request.is_navigation_request() and response.request.frame.parent_frame is None
        if own and (response.status == 503 or 400 <= response.status < 500):
            self.refused.add(response.url)


class Person:
    """Somebody at a browser, who knows pages by what they say. `look` is called with every page they come to."""

    def __init__(self, page, look=lambda page: None):
        self.page = page
        self.look = look

    @property
    def context(self):
        return self.page.context

    def tab(self):
        """The same browser in another tab."""
        return type(self)(self.context.new_page(), self.look)

    def open(self, url):
        """Go to a page, or open a link out of a mail; the answer."""
        answer = self.page.goto(url)
        self.look(self.page)
        return answer

    def type(self, label, text):
        self.page.get_by_label(label, exact=True).fill(text)

    def press(self, name):
        """Press a button that leads to another page; the answer."""
        return self._leave(self.page.get_by_role("button", name=name, exact=True))

    def follow(self, name):
        return self._leave(self.page.get_by_role("link", name=name, exact=True).first)

    def _leave(self, element):
        with self.page.expect_navigation() as navigation:
            self.act_on(element)
        self.look(self.page)
        return navigation.value

    def act_on(self, element):
        element.click()

    def sees(self, heading):
        expect(self.page.get_by_role("heading", level=1, name=heading, exact=True)).to_be_visible()

    def reads(self, text):
        expect(self.page.get_by_text(text).first).to_be_visible()

    @property
    def heading(self):
        return self.page.get_by_role("heading", level=1).inner_text()

    def sign_in(self, address, password):
        self.open("/auth/login")
        self.type("E-mail address", address)
        self.type("Password", password)
        return self.press("Sign in")

    def ask_for_reset(self, address):
        self.open("/auth/reset_password_request")
        self.type("E-mail address", address)
        self.press("Send the link")
        self.sees("Check your inbox")

    def choose_password(self, password, button="Set new password"):
        self.type("New password", password)
        self.type("New password again", password)
        return self.press(button)

    @property
    def is_signed_in(self):
        self.open("/")
        return self.page.get_by_role("button", name="Sign out", exact=True).is_visible()


# A ring around what has the focus, thick enough to be seen.
FOCUS_RING = """element => {
    const style = getComputedStyle(element)
    return style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)
}"""


class KeyboardPerson(Person):
    """Somebody without a mouse: Tab, Enter and letters."""

    def type(self, label, text):
        self.tab_to(self.page.get_by_label(label, exact=True))
        self.page.keyboard.type(text)

    def act_on(self, element):
        self.tab_to(element)
        self.page.keyboard.press("Enter")

    def tab_to(self, element):
        """Press Tab until the element has the focus; every stop on the way shows where one is."""
        seen = []
        while not element.evaluate("element => element === document.activeElement"):
            self.page.keyboard.press("Tab")
            focused = self.page.locator(":focus")
            assert focused.count() == 1, f"the focus left the page after {seen}"
            seen.append(re.sub(r"\s+", " ", focused.evaluate("element => element.outerHTML"))[:80])
            assert focused.evaluate(FOCUS_RING) >= 2, f"no ring around {seen[-1]}"
            expect(focused).to_be_in_viewport()
            assert len(seen) < 50, f"Tab never leads there: {seen}"
