"""A short random campaign; `make chaos` runs a long one."""

from tests import chaos

ROUNDS = 5
SEED = 20


def test_a_campaign_of_kills_and_mail_servers_in_trouble_loses_nothing(make_database, tmp_path):
    report = chaos.run(make_database("chaos"), tmp_path, ROUNDS, SEED)
    assert report.is_good, report
    assert report.delivered > 0
    assert report.resets > 0
