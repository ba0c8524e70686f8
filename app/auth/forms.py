"""One form per page: shape checks only. Whether an account exists is never a form's business."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from zoneinfo import available_timezones

from flask import Response, g, make_response, render_template, request, session
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    EmailField,
    Field,
    HiddenField,
    PasswordField,
    SelectField,
    StringField,
    SubmitField,
)
from wtforms.validators import EqualTo, InputRequired, ValidationError

from app.auth.links import Link
from app.auth.models import User
from app.auth.passwords import password_problem
from app.email import address_key, parse_address
from app.i18n import own_names

LONGEST_NAME = 64
NOT_IN_NAMES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # Unicode categories; the bidi overrides are in Cf
LIKE_A_LINK = re.compile(r"[/\\@]|:\S|\w[.。]\w\w")  # a mail program would make one of it, in a mail that we signed
NOT_OFFERED = _l("Choose one of the list.")  # WTForms has words of its own
CONTINENTS = {
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
}
JOINERS = "\u200c\u200d"  # which Persian and Indian names need


def form_page(template: str, form: FlaskForm, **context: object) -> Response:
    """The page of a form: 422 where what was sent is refused, so that no tool takes the refusal for a success."""
    return make_response(render_template(template, form=form, **context), 422 if form.errors else 200)


def remember_address(email: str) -> None:
    """Have it stand in the next form that asks this browser for an address, until it is signed out."""
    session["address"] = email


def is_address(form: FlaskForm, field: Field) -> None:
    """Replace what was typed by the address as it is stored and mailed to."""
    try:
        field.data = parse_address(field.data)
    except ValueError:
        raise ValidationError(_l("Enter an e-mail address like name@example.com.")) from None


def name_problem(name: str) -> str | None:
    """Say why a person's name is refused, or return None."""
    if not 1 <= len(name) <= LONGEST_NAME:
        return _("Enter a name of 1 to %(most)d characters.", most=LONGEST_NAME)
    if any(unicodedata.category(letter) in NOT_IN_NAMES and letter not in JOINERS for letter in name):
        return _("Leave control characters out of the name.")
    if LIKE_A_LINK.search(unicodedata.normalize("NFKC", name)):
        return _("Leave out what looks like a link or an address: / \\ @ and dots between words.")
    return None


def is_name(form: FlaskForm, field: Field) -> None:
    if problem := name_problem(field.data or ""):
        raise ValidationError(problem)


def strip(text: str | None) -> str | None:
    return text and text.strip()


def is_good_password(form: "NewPassword", field: Field) -> None:
    if problem := password_problem(field.data, form.about()):
        raise ValidationError(problem)


def address_field(label: str = _l("E-mail address")) -> EmailField:
    required = InputRequired(_l("Enter your e-mail address."))
    return EmailField(label, validators=[required, is_address])


def current_password_field() -> PasswordField:
    return PasswordField(_l("Your present password"), [InputRequired(_l("Enter your present password."))])


class Form(FlaskForm):
    # As the pages show them; what a class inherits else comes first.
    ORDER = ("name", "email", "current_password", "password", "password2", "locale", "time_zone")

    def __iter__(self) -> Iterator[Field]:
        return iter(sorted(super().__iter__(), key=self._place))

    def _place(self, field: Field) -> int:
        return self.ORDER.index(field.name) if field.name in self.ORDER else len(self.ORDER)

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form: FlaskForm, formdata: object) -> object:
            """What was typed, also where it came too late to count: see errors._page_as_if_opened."""
            return request.form if "form_expired" in g else super().wrap_formdata(form, formdata)


class AddressForm(Form):
    """Asks for an address: to register, or to reset the password."""

    email = address_field()
    submit = SubmitField()

    def __init__(self) -> None:
        super().__init__()
        if not self.is_submitted():
            self.email.data = self.email.data or session.get("address")  # see remember_address


class SignInForm(AddressForm):
    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])
    remember = BooleanField(_l("Keep me signed in on this device"))
    submit = SubmitField(_l("Sign in"))


class LinkForm(Form):
    """A form that acts on the link this browser has opened, and on no other."""

    link = HiddenField()

    def __init__(self, opened: Link, about: Sequence[str] = ()) -> None:
        super().__init__()
        self.opened = opened
        self.facts = about
        if not self.is_submitted():
            self.link.data = opened.digest

    def validate_link(self, field: Field) -> None:
        # A script may leave the field out: it has no second tab.
        if field.data and field.data != self.opened.digest:
            field.data = self.opened.digest
            raise ValidationError(
                _l("You have opened another link since. This page is now about the account shown here.")
            )


class NotMeForm(LinkForm):
    submit = SubmitField(_l("It was not me"))


class ConfirmLinkForm(LinkForm):
    submit = SubmitField()


class NewPassword:
    """The two fields in which a new password is chosen."""

    password = PasswordField(_l("New password"), [InputRequired(_l("Enter a new password.")), is_good_password])
    password2 = PasswordField(
        _l("New password again"),
        [
            InputRequired(_l("Enter the new password again.")),
            EqualTo("password", _l("The two passwords differ.")),
        ],
    )

    facts: Sequence[str] = ()

    def about(self) -> list[str]:
        """What is known about the person, and so no secret to build a password on."""
        return [*self.facts]


class ResetPasswordForm(NewPassword, LinkForm):
    submit = SubmitField(_l("Set new password"))


class FinishRegistrationForm(ResetPasswordForm):
    name = StringField(_l("Your name"), [is_name], filters=[strip])
    submit = SubmitField(_l("Create account"))

    def about(self) -> list[str]:
        return [*super().about(), self.name.data or ""]


class ProofForm(Form):
    """Asks for the password again."""

    current_password = current_password_field()
    submit = SubmitField(_l("Continue"))


class ChangePasswordForm(NewPassword, ProofForm):
    submit = SubmitField(_l("Change password"))

    def __init__(self, about: Sequence[str]) -> None:
        super().__init__()
        self.facts = about

    def validate_password(self, field: Field) -> None:
        if field.data and field.data == self.current_password.data:
            raise ValidationError(_l("That is your present password."))


class ChangeEmailForm(ProofForm):
    email = address_field(_l("New e-mail address"))
    submit = SubmitField(_l("Send the link"))

    def __init__(self, present: str) -> None:
        super().__init__()
        self.present = present

    def validate_email(self, field: Field) -> None:
        if address_key(field.data) == address_key(self.present):
            raise ValidationError(_l("That is your address already."))


class DeleteForm(ProofForm):
    submit = SubmitField(_l("Delete my account"))


def zone_name(choice: str | None) -> str:
    """The name of a time zone as it is stored, from the city that is shown."""
    return zones_by_city().get(choice or "", choice or "")


class ProfileForm(Form):
    name = StringField(_l("Your name"), [is_name], filters=[strip])
    locale = SelectField(_l("Language of pages and mails"), invalid_choice_message=NOT_OFFERED)  # type: ignore[call-arg]
    time_zone = SelectField(_l("Time zone"), coerce=zone_name, invalid_choice_message=NOT_OFFERED)  # type: ignore[call-arg]
    submit = SubmitField(_l("Save"))

    def __init__(self, user: User) -> None:
        super().__init__(obj=user)
        self.locale.choices = [("", _("Same as the browser")), *own_names().items()]
        self.time_zone.choices = {"": [("", "UTC")]}
        for city, zone in zones_by_city().items():
            self.time_zone.choices.setdefault(zone.partition("/")[0], []).append((zone, city))


@cache
def zones_by_city() -> dict[str, str]:
    """The zones people live in, by the names of the IANA database."""
    zones = sorted(zone for zone in available_timezones() if zone.partition("/")[0] in CONTINENTS)
    return {zone.partition("/")[2].replace("_", " "): zone for zone in zones}
