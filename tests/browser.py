"""A browser without JavaScript: it keeps cookies, reads forms and sends them whole, CSRF token included."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class FormReader(HTMLParser):
    """Collects the inputs of the page's main form: the first one inside <main>."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inside_main = self.inside_form = False
        self.fields: dict[str, str] = {}
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.inside_main |= tag == "main"
        self.inside_form |= tag == "form" and self.inside_main
        if tag == "input" and self.inside_form and attributes.get("name"):
            self.inputs[attributes["name"]] = attributes
            if attributes.get("type") != "checkbox":
                self.fields[attributes["name"]] = attributes.get("value") or ""

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside_form = False
        self.inside_main &= tag != "main"


class Browser:
    """Wraps a test client; `page` is the last answer, after redirects."""

    page: TestResponse

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, url: str, **kwargs) -> TestResponse:
        self.page = self.client.get(url, follow_redirects=True, headers={"User-Agent": FIREFOX}, **kwargs)
        return self.page

    def submit(self, **fields: str) -> TestResponse:
        """Fill in the form on the page and send it; the answer as it is, redirects not followed."""
        form = FormReader(self.page.text)
        answer = self.client.post(
            self.page.request.full_path.rstrip("?"), data=form.fields | fields, headers={"User-Agent": FIREFOX}
        )
        self.page = self.get(answer.location) if answer.status_code == 303 else answer
        return answer

    def fill(self, url: str, **fields: str) -> TestResponse:
        """Open a page and send its form."""
        self.get(url)
        return self.submit(**fields)

    def register(self, email: str) -> TestResponse:
        return self.fill("/auth/register", email=email)

    def sign_in(self, email: str, password: str, **fields: str) -> TestResponse:
        return self.fill("/auth/login", email=email, password=password, **fields)

    def sign_out(self) -> TestResponse:
        token = re.search(r'action="/auth/logout">\s*<input[^>]*value="([^"]+)"', self.get("/").text)
        answer = self.client.post("/auth/logout", data={"csrf_token": token.group(1)})
        self.page = self.get(answer.location)
        return answer

    def ask_for_reset(self, email: str) -> TestResponse:
        return self.fill("/auth/reset_password_request", email=email)

    def reset(self, link: str, password: str) -> TestResponse:
        return self.fill(link, password=password, password2=password)

    @property
    def is_signed_in(self) -> bool:
        return "Sign out" in self.get("/").text

    @property
    def title(self) -> str:
        return re.search(r"<title>(.*?)</title>", self.page.text, re.DOTALL).group(1).strip()

    @property
    def heading(self) -> str:
        return re.search(r"<h1>(.*?)</h1>", self.page.text, re.DOTALL).group(1).strip()

    @property
    def form(self) -> SimpleNamespace:
        reader = FormReader(self.page.text)
        return SimpleNamespace(fields=reader.fields, inputs=reader.inputs)
