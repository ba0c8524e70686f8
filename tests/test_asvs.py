"""docs/asvs.md says of every requirement what shows it, and says it truly."""

import pytest

from scripts import asvs

# How many requirements each section of OWASP ASVS 5.0.0 has, by chapter: 345 in all.
SECTIONS = {
    **{1: (2, 10, 12, 3, 3), 2: (3, 3, 5, 2), 3: (1, 3, 5, 8, 8, 1, 5), 4: (5, 5, 2, 4), 5: (1, 6, 3, 3)},
    **{6: (3, 12, 8, 6, 8, 4, 2, 4), 7: (3, 4, 2, 5, 3, 2), 8: (4, 4, 3, 2), 9: (3, 4), 10: (2, 3, 5, 16, 5, 2, 3)},
    **{11: (4, 5, 5, 4, 2, 2, 2), 12: (5, 2, 5), 13: (4, 6, 4, 7), 14: (2, 8, 3), 15: (5, 5, 7, 4)},
    **{16: (1, 5, 4, 3, 4), 17: (2, 8, 2)},
}
STANDARD = {
    f"{chapter}.{section}.{number}"
    for chapter, sizes in SECTIONS.items()
    for section, size in enumerate(sizes, 1)
    for number in range(1, size + 1)
}
REQUIREMENTS = {requirement.id: requirement for requirement in asvs.requirements()}
PLACED = [requirement for requirement in REQUIREMENTS.values() if requirement.place]


def test_the_page_is_what_requirements_and_marks_give():
    assert asvs.TARGET.read_text() == asvs.page(), "write it anew with: make asvs"


def test_every_requirement_of_the_standard_is_accounted_for():
    groups = asvs.source()["not_applicable"]
    left_out = {id_ for id_ in STANDARD for group in groups if id_ == group or id_.startswith(f"{group}.")}
    assert len(STANDARD) == 345
    assert REQUIREMENTS.keys() | left_out == STANDARD
    assert REQUIREMENTS.keys() & left_out == set()


def test_what_is_said_to_be_tested_is_named_by_a_test():
    tested = {id_ for id_, requirement in REQUIREMENTS.items() if requirement.kind == "test"}
    assert tested - asvs.marked_tests().keys() == set()


def test_no_test_names_a_requirement_that_is_not_listed():
    assert asvs.marked_tests().keys() - REQUIREMENTS.keys() == set()


def test_every_requirement_has_what_its_kind_needs():
    for requirement in REQUIREMENTS.values():
        assert requirement.kind in asvs.KINDS, requirement.id
        assert requirement.level in (1, 2, 3), requirement.id
        assert requirement.chapter in asvs.source()["chapters"], requirement.id
        assert bool(requirement.place) is (requirement.kind in asvs.PLACED), requirement.id
        assert requirement.note or requirement.kind in ("test", *asvs.PLACED), requirement.id


@pytest.mark.parametrize("requirement", PLACED, ids=lambda requirement: requirement.id)
def test_the_place_it_names_is_there(root, requirement):
    path, _, anchor = requirement.place.partition("#")
    text = (root / path).read_text()
    assert anchor
    assert anchor in (asvs.headings(text) if path.endswith(".md") else text)


def test_marks_are_found_on_modules_classes_tests_and_parameters():
    module = """
pytestmark = [pytest.mark.asvs("1.1.1"), pytest.mark.slow]
@pytest.mark.asvs("1.1.2")
class TestThis:
    @pytest.mark.asvs("1.2.1", "1.2.2")
    @pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.asvs("1.2.3"))])
    def test_that(self, x): ...
def helper(): ...
def test_other(): ...
"""
    found = dict(asvs._marks(asvs.ast.parse(module), inherited=()))
    assert found == {"TestThis::test_that": ("1.1.1", "1.1.2", "1.2.1", "1.2.2", "1.2.3"), "test_other": ("1.1.1",)}


def test_a_mark_that_is_not_written_out_is_an_error():
    with pytest.raises(ValueError, match="malformed"):
        asvs._ids(asvs.ast.parse("pytest.mark.asvs(ids)"))
