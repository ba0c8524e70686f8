"""flask doctor."""

import json
from dataclasses import asdict

import click
from flask import Blueprint

from app import logs
from app.doctor.examination import BAD, examine
from config_checks import Finding

bp = Blueprint("doctor", __name__, cli_group=None)

COLOURS = {"ok": "green", "not checked": "blue", "warning": "yellow", "wrong": "red", "unsafe": "red"}


@bp.cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, database, mail and files, and say what to do.

    The exit status is 1 if anything is wrong or unsafe, and 0 with warnings and with what cannot be checked from here;
    3, as for every command, if the settings are such that Rekey does not start. Sends no mail and changes nothing.
    """
    with logs.quiet():
        found = examine()
    bad = [finding for finding in found if finding.level in BAD]
    if as_json:
        click.echo(json.dumps({"healthy": not bad, "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        for finding in found:
            _show(finding)
        click.echo(f"\n{len(bad)} wrong or unsafe, {sum(finding.level == 'warning' for finding in found)} to look at.")
    context.exit(1 if bad else 0)


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level:<11}", fg=COLOURS[finding.level])
    click.echo(f"{level}  {finding.check:<17}  {finding.what}")
    if finding.fix:
        click.echo(f"{'':<32}{finding.fix}")
