"""Creating an account: the address is proven first, the password chosen after.

So nobody can lie in wait in an account that was registered with a stranger's address ("pre-hijacking").
"""

from flask import render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _

from app.auth import attempts, bp, links, no_mail
from app.auth.forms import AddressForm, FinishRegistrationForm, form_page, remember_address
from app.auth.models import Registration, User
from app.auth.passwords import hash_password
from app.auth.promises import promise
from app.auth.sign_in import lead_to_sign_in
from app.extensions import db
from app.security import client


@bp.route("/register", methods=["GET", "POST"])
def register() -> ResponseReturnValue:
    """Promise a mail; what it says depends on whether there is an account, and only its reader learns that."""
    if no_mail.is_off():
        return render_template(no_mail.page("auth/register.html")), 422 if request.method == "POST" else 200
    form = AddressForm()
    if not form.validate_on_submit():
        return form_page("auth/register.html", form)
    remember_address(form.email.data or "")
    return promise("register", form.email.data or "")


@bp.route("/register/<token>")
def open_registration(token: str) -> ResponseReturnValue:
    link = links.opened("register", token)
    awaited(link)
    return link.park("auth.finish_registration")


@bp.route("/register/finish", methods=["GET", "POST"])
def finish_registration() -> ResponseReturnValue:
    link = links.parked("register")
    registration = awaited(link)
    form = FinishRegistrationForm(link, about=(registration.email,))
    if not form.validate_on_submit():
        return form_page("auth/finish_registration.html", form, email=registration.email)
    db.session.commit()  # hashing takes 20 ms and more: no lock is held meanwhile
    user = registration.create_account(form.name.data or "", hash_password(form.password.data or ""))
    if user is None:
        raise links.LinkUsed(link.purpose)
    welcome(user)
    return lead_to_sign_in(user, _("Your account is ready. Sign in with your new password."))


def welcome(user: User) -> None:
    """Record it, keep the language, and forget sign-ins that failed while the address had no account."""
    user.locale = str(get_locale())  # so that a mail which a stranger sets off is in the owner's language
    user.record("registered", client())
    attempts.forget(user.email)


def awaited(link: links.Link) -> Registration:
    """The registration a link finishes. Raises LinkUsed."""
    registration = Registration.unused(link.payload)
    if registration is None:
        raise links.LinkUsed(link.purpose)
    return registration
