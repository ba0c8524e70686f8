"""Every page and every state worth seeing, in one list.

A stop is who goes there, what the page answers with, and how to get there. None changes what another shows, so the tour
can be made again and again, in any language: it knows forms by the names of their fields, and no word of any page.
"""

from collections.abc import Callable
from dataclasses import dataclass

from babel import Locale

from app import limits
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.servers import HOST
from tests.web.scenery import PURPOSES

WRONG = "none of the passwords here"
COMMON = "passwordpassword"


@dataclass(frozen=True)
class Visit:
    page: object
    scenery: object

    def submit(self, **fields):
        """Fill in the form that has these fields, and send it with Enter; the answer, after redirects."""
        form = self.page.locator(f"main form:has([name={next(iter(fields))}])")
        for name, value in fields.items():
            form.locator(f"[name={name}]").fill(value)
        return self.leave(lambda: form.locator(f"[name={name}]").press("Enter"))

    def leave(self, act):
        with self.page.expect_navigation() as navigation:
            act()
        return navigation.value


@dataclass(frozen=True)
class Stop:
    go: Callable
    status: int
    who: str

    def arrive(self, page, scenery):
        """Bring the page there, and make sure of it."""
        page.context.clear_cookies()
        page.context.add_cookies(scenery.cookies[self.who])
        answer = self.go(Visit(page, scenery))
        assert answer.status == self.status, f"{answer.status} and not {self.status}: {page.title()} at {page.url}"


def opens(path, status=200, who="a visitor"):
    """By its address; {live[register]} and its like are links of the scenery."""
    return Stop(lambda visit: visit.page.goto(path.format(**vars(visit.scenery))), status, who)


def sends(path, status=422, who="a visitor", **fields):
    """By a form, filled in like this."""

    def go(visit):
        visit.page.goto(path.format(**vars(visit.scenery)))
        return visit.submit(**fields)

    return Stop(go, status, who)


def dead_links():
    answers = {"expired": 410, "used": 410, "broken": 404}
    return {
        f"{purpose} link, {reason}": opens(f"{{{reason}[{purpose}]}}", status)
        for purpose in PURPOSES
        for reason, status in answers.items()
    } | {
        f"{purpose} link, missing": opens(f"/auth/{'register/finish' if purpose == 'register' else purpose}", 404)
        for purpose in PURPOSES
    }


def another_link_since(visit):
    """The form is about a link other than the last one opened."""
    visit.page.goto(visit.scenery.live["reset_password"])
    visit.page.locator("[name=link]").evaluate("field => field.value = 'another'")
    return visit.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD)


def signed_out(visit):
    visit.page.goto("/auth/login")
    visit.submit(email=visit.scenery.mover, password=PASSWORD)
    return visit.leave(lambda: visit.page.locator("[action$='/auth/logout'] [name=submit]").click())


def expired_form(visit):
    visit.page.goto("/auth/login")
    visit.page.context.clear_cookies()
    return visit.submit(email="somebody@example.com", password=WRONG)


def expired_button(visit):
    """A form that has no page of its own to be shown again on."""
    visit.page.goto("/account")
    button = visit.page.locator("[action$='/auth/logout'] [name=submit]")
    button.evaluate("button => button.form.csrf_token.value = ''")
    return visit.leave(button.click)


def from_another_site(visit):
    visit.page.goto("about:blank")
    url = f"{visit.scenery.stage.url}/auth/login"
    visit.page.set_content(f"<form method=post action={url}><button>Win</button></form>")
    return visit.leave(lambda: visit.page.locator("button").click())


def limited(visit):
    stage = visit.scenery.stage
    stage.use_up(limits.MAILS_FROM, HOST)
    visit.page.goto("/auth/reset_password_request")
    answer = visit.submit(email="somebody@example.com")
    stage.forget_limits()
    return answer


def empty_mailbox(visit):
    visit.scenery.dev.mailbox.clear()
    return visit.page.goto(f"{visit.scenery.dev.url}/dev/mailbox")


def full_mailbox(visit):
    dev, sink = visit.scenery.dev, visit.scenery.stage.mailbox.sink
    if not len(dev.mailbox):
        for mail in sink.mails[:5]:
            dev.mailbox.add(mail.source)
    return visit.page.goto(f"{dev.url}/dev/mailbox")


def mail_in_mailbox(visit):
    full_mailbox(visit)
    return visit.leave(lambda: visit.page.locator("main ol a").first.click())


TOUR = {
    "home": opens("/"),
    "home, signed in": opens("/", who="a member"),
    "sign-in": opens("/auth/login"),
    "sign-in, nothing typed": sends("/auth/login", email="", password=""),
    "sign-in, refused": sends("/auth/login", email="somebody@example.com", password=WRONG),
    "sign-in, signed out": Stop(signed_out, 200, "a visitor"),
    "register": opens("/auth/register"),
    "register, no address": sends("/auth/register", email="somebody"),
    "register, inbox": sends("/auth/register", 200, email="somebody.new@example.com"),
    "register, finish": opens("{live[register]}"),
    "register, finish, nothing typed": sends("{live[register]}", name="", password="", password2=""),
    "register, finish, all wrong": sends("{live[register]}", name="see rekey.example", password=COMMON, password2="x"),
    "reset, ask": opens("/auth/reset_password_request"),
    "reset, ask, nothing typed": sends("/auth/reset_password_request", email=""),
    "reset, inbox": sends("/auth/reset_password_request", 200, email="somebody@example.com"),
    "reset": opens("{live[reset_password]}"),
    "reset, somebody else's": opens("{live[reset_password]}", who="a mover"),
    "reset, nothing typed": sends("{live[reset_password]}", password="", password2=""),
    "reset, short": sends("{live[reset_password]}", password="short", password2="short"),
    "reset, different": sends("{live[reset_password]}", password=NEW_PASSWORD, password2=PASSWORD),
    "reset, another link since": Stop(another_link_since, 422, "a visitor"),
    "not me": opens("{live[not_me]}"),
    "change of address": opens("{live[change_email]}"),
    "change of address, somebody else's": opens("{live[change_email]}", who="a member"),
    "address taken back": opens("{live[undo_email_change]}"),
    **dead_links(),
    "account": opens("/account", who="a member"),
    "account, address waiting": opens("/account", who="a mover"),
    "password": opens("/account/password", who="a member"),
    "password, nothing typed": sends(
        "/account/password", who="a member", current_password="", password="", password2=""
    ),
    "password, all wrong": sends(
        "/account/password", who="a member", current_password=WRONG, password="short", password2="x"
    ),
    "password, wrong": sends(
        *("/account/password", 422, "a member"), current_password=WRONG, password=NEW_PASSWORD, password2=NEW_PASSWORD
    ),
    "address": opens("/account/email", who="a member"),
    "address, waiting": opens("/account/email", who="a mover"),
    "address, nothing typed": sends("/account/email", who="a member", email="", current_password=""),
    "address, wrong": sends("/account/email", who="a member", email="new@example.com", current_password=WRONG),
    "devices": opens("/account/sessions", who="a member"),
    "activity": opens("/account/activity", who="a member"),
    "activity, older": opens("/account/activity?page=2", who="a member"),
    "profile": opens("/account/profile", who="a member"),
    "profile, saved": sends("/account/profile", 200, "a mover", name="Robin"),
    "profile, no name": sends("/account/profile", who="a member", name="https://rekey.example/"),
    "confirm": opens("/auth/confirm", who="a member"),
    "confirm, wrong": sends("/auth/confirm", who="a member", current_password=WRONG),
    "delete": opens("/account/delete", who="a member"),
    "delete, wrong": sends("/account/delete", who="a member", current_password=WRONG),
    "error 400, expired form": Stop(expired_form, 400, "a visitor"),
    "error 400, expired button": Stop(expired_button, 400, "a member"),
    "error 400, malformed": opens("/auth/login?next=/&stray=%00", 400),
    "error 403": Stop(from_another_site, 403, "a visitor"),
    "error 404": opens("/nowhere", 404),
    "error 404, signed in": opens("/nowhere", 404, "a member"),
    "error 405": opens("/auth/logout", 405),
    "error 413": sends("/auth/register", 413, email="a" * 70_000),
    "error 429": Stop(limited, 429, "a visitor"),
    "error 503": sends("{away}/auth/login", 503, email="somebody@example.com", password=WRONG),
    "dev mailbox, empty": Stop(empty_mailbox, 200, "a visitor"),
    "dev mailbox": Stop(full_mailbox, 200, "a visitor"),
    "dev mail": Stop(mail_in_mailbox, 200, "a visitor"),
    "dev mails": opens("{dev.url}/dev/mails"),
    "dev mails, one": opens("{dev.url}/dev/mails/reset_password"),
}


def browser_language(tag):
    """What browsers send for one of our languages: zh-TW for zh_Hant_TW."""
    locale = Locale.parse(tag)
    return "-".join(filter(None, (locale.language, locale.territory)))
