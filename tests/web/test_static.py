"""Style sheet, script and mark are fetched once a year."""

import re


def test_a_second_visit_fetches_nothing_but_pages(person):
    found = []
    person.context.on("response", lambda answer: found.append(answer) if "/static/" in answer.url else None)
    person.open("/auth/login")
    assert {re.search(r"\.(\w+)\?", answer.url).group(1) for answer in found} == {"css", "js", "svg"}
    for answer in found:
        assert re.search(r"\?v=[0-9a-f]{12}$", answer.url)
        assert answer.all_headers()["cache-control"] == "public, max-age=31536000, immutable"

    for page in ("/auth/register", "/auth/login"):
        person.open(page)
        fetched = person.page.evaluate(
            "performance.getEntriesByType('resource').map(({ name, transferSize }) => [name, transferSize])"
        )
        assert len(fetched) >= 2
        assert [name for name, size in fetched if size] == []
