"""Another address for an account: nothing changes until its mailbox has proven it, and the old mailbox may undo it."""

from flask import flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user
from sqlalchemy.exc import IntegrityError

from app import limits
from app.auth import bp, device, links, no_mail
from app.auth.account import announce_change
from app.auth.account import bp as account
from app.auth.forms import ChangeEmailForm, ConfirmLinkForm, form_page
from app.auth.models import EmailChange, User
from app.auth.sign_in import end_session, is_confirmed, rekey_session
from app.email import address_key, enqueue, masked
from app.extensions import db
from app.security import client


@account.route("/email", methods=["GET", "POST"])
def email() -> ResponseReturnValue:
    """Promise a link to the new address and a notice to the old one: the same whether the new one is taken or not."""
    if no_mail.is_off():
        return render_template(no_mail.page("account/email.html")), 422 if request.method == "POST" else 200
    form = ChangeEmailForm(current_user.email)
    if not is_confirmed(form):
        return form_page("account/email.html", form, waiting=EmailChange.waiting_for(current_user))
    new = form.email.data or ""
    db.session.commit()  # the password was right, whatever a limit says now
    limits.take(limits.EMAIL_CHANGES, str(current_user.id))
    limits.take(limits.MAILS, address_key(new))
    change = EmailChange.ask(current_user, new)
    enqueue("change_email", {"nonce": change.nonce}, address=new, locale=str(get_locale()))
    announce_change("email_change_asked")
    db.session.commit()
    flash(_("A link is on its way to the new address. Until you have followed it, nothing changes."))
    return redirect(url_for("account.email"), 303)


@account.route("/email/cancel", methods=["POST"])
def cancel_email_change() -> ResponseReturnValue:
    EmailChange.cancel(current_user)
    current_user.record("email_change_cancelled", client())
    db.session.commit()
    flash(_("Your address stays as it is."))
    return redirect(url_for("account.email"), 303)


@bp.route("/change_email/<token>")
def open_change_email(token: str) -> ResponseReturnValue:
    link = links.opened("change_email", token)
    waiting(link)
    return link.park("auth.change_email")


@bp.route("/change_email", methods=["GET", "POST"])
def change_email() -> ResponseReturnValue:
    link = links.parked("change_email")
    change = waiting(link)
    form = ConfirmLinkForm(link)
    if not form.validate_on_submit():
        return form_page("auth/change_email.html", form, change=change, account=shown(change.old_email, change))
    if not finished(change):
        raise links.LinkUsed(link.purpose)
    announce_new_address(change)
    go_on_as(change.user)
    link.leave()
    flash(_("%(email)s is now the address of your account.", email=change.new_email))
    return redirect(url_for("account.overview"), 303)


@bp.route("/undo_email_change/<token>")
def open_undo_email_change(token: str) -> ResponseReturnValue:
    link = links.opened("undo_email_change", token)
    undoable(link)
    return link.park("auth.undo_email_change")


@bp.route("/undo_email_change", methods=["GET", "POST"])
def undo_email_change() -> ResponseReturnValue:
    """The old mailbox takes the account back: its address counts again, everybody is signed out, a reset is mailed."""
    link = links.parked("undo_email_change")
    change = undoable(link)
    form = ConfirmLinkForm(link)
    if not form.validate_on_submit():
        return form_page("auth/undo_email_change.html", form, change=change, other=shown(change.new_email, change))
    displaced = change.user.email
    if not undone(change):
        raise links.LinkUsed(link.purpose)
    end_session()
    session["inbox"] = announce_undo(change, displaced)
    db.session.commit()
    flash(_("Your address is restored, and everybody is signed out. Choose a new password now."))
    return redirect(url_for("auth.check_your_inbox"), 303)


def shown(address: str, change: EmailChange) -> str:
    """The other address of a change: in full only to whoever is signed in to the account.

    The link proves one mailbox, which may be a stranger's: an address was mistyped, or somebody took the account over.
    """
    mine = current_user.is_authenticated and current_user.id == change.user_id
    return address if mine else masked(address)


def waiting(link: links.Link) -> EmailChange:
    """The change a link finishes. Raises LinkUsed."""
    change = EmailChange.waiting(link.payload)
    if change is None:
        raise links.LinkUsed(link.purpose)
    return change


def undoable(link: links.Link) -> EmailChange:
    """The change a link undoes. Raises LinkUsed."""
    change = EmailChange.to_undo(link.payload)
    if change is None:
        raise links.LinkUsed(link.purpose)
    return change


def finished(change: EmailChange) -> bool:
    """Whether the address could be changed; it may have been taken, or be kept for its former owner."""
    try:
        return not EmailChange.reserves(change.new_email, change.user_id) and change.finish()
    except IntegrityError:
        db.session.rollback()
        return False


def undone(change: EmailChange) -> bool:
    try:
        return change.undo()
    except IntegrityError:  # an operator gave the address to somebody else
        db.session.rollback()
        return False


def announce_new_address(change: EmailChange) -> None:
    """Tell both mailboxes; the old one how to undo it."""
    change.user.record("email_changed", client())
    args = {"nonce": change.nonce, "client": client()}
    enqueue("email_changed", args, address=change.old_email, locale=str(get_locale()))
    enqueue("email_confirmed", args, address=change.new_email, locale=str(get_locale()))


def announce_undo(change: EmailChange, displaced: str) -> dict[str, str]:
    """Promise a reset link to the restored address, and word of it to the other. Returns what the next page shows."""
    change.user.record("email_restored", client())
    word = {"email": displaced, "name": change.user.name, "client": client()}
    enqueue("email_taken_back", word, address=displaced, locale=str(get_locale()))
    args = {"email": change.old_email, "client": client(), "known": True}
    row = enqueue("reset_password", args, address=change.old_email, locale=str(get_locale()))
    return {"kind": "reset_password", "email": change.old_email, "reference": row.reference}


def go_on_as(user: User) -> None:
    """Commit. Whoever was signed in as the account stays so, under a new secret; anybody else is signed out here."""
    if current_user.is_authenticated and current_user.id == user.id:
        device.remember(current_user)
        rekey_session()
    else:
        end_session()
        db.session.commit()
