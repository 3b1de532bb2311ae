"""The list of mutations is in step with the code and the tests."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from typing import TYPE_CHECKING

from tests.each import each
from tests.mutations import MUTATIONS, ROOT, verdict

if TYPE_CHECKING:
    from tests.mutations import Mutation


@cache
def names_of_tests(path: str) -> list[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [name for name in names if name.startswith("test_")]


@each("mutation", MUTATIONS)
def test_each_mutation_changes_one_place_and_names_a_test(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert source.count(mutation.text) == 1
    if mutation.file.endswith(".py"):
        ast.parse(source.replace(mutation.text, mutation.replacement))

    target, *selection = shlex.split(mutation.tests)
    path, _, name = target.partition("::")
    names = names_of_tests(path)
    assert not name or name in names
    if selection:
        option, words = selection
        assert option == "-k"
        for word in re.split(r" or ", words):
            assert any(word in name for name in names), f"no test in {path} is named {word}"


def test_each_mutation_has_its_own_name() -> None:
    """`make mutations` takes the names as arguments."""
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@each(
    "line",
    [
        "FAILED tests/a.py::test_b - KeyError: 'c'",
        "ERROR tests/a.py::test_b - AssertionError: dbt",
    ],
)
def test_a_failed_test_or_assertion_of_its_fixture_catches_a_mutation(line: str) -> None:
    assert verdict(1, f"...\n{line}\n") == "caught by test_b"


def test_a_test_that_could_not_run_catches_nothing() -> None:
    assert verdict(1, "ERROR tests/a.py::test_b - FileNotFoundError: dbt\n").startswith("ERROR")
    assert verdict(2, "FAILED tests/a.py::test_b\n").startswith("ERROR")
    assert verdict(None, "").startswith("ERROR")
    assert verdict(0, "") == "SURVIVED"
