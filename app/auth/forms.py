"""One form per page: shape checks only. Whether an account exists is never a form's business."""

import re
import unicodedata
from collections.abc import Sequence

from flask import Response, make_response, render_template
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, Field, HiddenField, PasswordField, StringField, SubmitField
from wtforms.validators import EqualTo, InputRequired, ValidationError

from app.auth.links import Link
from app.auth.passwords import password_problem
from app.email import parse_address

LONGEST_NAME = 64
NOT_IN_NAMES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # Unicode categories; the bidi overrides are in Cf
LIKE_A_LINK = re.compile(r"[/\\@]|:\S|\w[.。]\w\w")  # a mail program would make one of it, in a mail that we signed
JOINERS = "\u200c\u200d"  # which Persian and Indian names need


def form_page(template: str, form: FlaskForm, **context: object) -> Response:
    """The page of a form: 422 where what was sent is refused, so that no tool takes the refusal for a success."""
    return make_response(render_template(template, form=form, **context), 422 if form.errors else 200)


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


def is_good_password(form: "ResetPasswordForm", field: Field) -> None:
    if problem := password_problem(field.data, form.about()):
        raise ValidationError(problem)


def address_field() -> EmailField:
    required = InputRequired(_l("Enter your e-mail address."))
    return EmailField(_l("E-mail address"), validators=[required, is_address])


class AddressForm(FlaskForm):
    """Asks for an address: to register, or to reset the password."""

    email = address_field()
    submit = SubmitField()


class SignInForm(FlaskForm):
    email = address_field()
    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])
    remember = BooleanField(_l("Keep me signed in on this device"))
    submit = SubmitField(_l("Sign in"))


class LinkForm(FlaskForm):
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


class ResetPasswordForm(LinkForm):
    password = PasswordField(_l("New password"), [InputRequired(_l("Enter a new password.")), is_good_password])
    password2 = PasswordField(
        _l("New password again"),
        [
            InputRequired(_l("Enter the new password again.")),
            EqualTo("password", _l("The two passwords differ.")),
        ],
    )
    submit = SubmitField(_l("Set new password"))

    def about(self) -> list[str]:
        """What is known about the person, and so no secret to build a password on."""
        return [*self.facts]


class FinishRegistrationForm(ResetPasswordForm):
    name = StringField(_l("Your name"), [is_name], filters=[lambda text: text and text.strip()])
    submit = SubmitField(_l("Create account"))

    def about(self) -> list[str]:
        return [*super().about(), self.name.data or ""]
