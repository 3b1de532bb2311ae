"""The list of mutations: each can be applied, and every module has one."""

from __future__ import annotations

from collections import Counter

from tests.mutations import MUTATIONS, PACKAGE, ROOT

SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / PACKAGE).glob("*.py")}


def test_each_mutation_can_be_applied() -> None:
    for mutation in MUTATIONS:
        assert SOURCES[mutation.module].count(mutation.text) == 1, mutation.name
        broken = SOURCES[mutation.module].replace(mutation.text, mutation.replacement)
        compile(broken, mutation.module, "exec")
        assert broken != SOURCES[mutation.module]


def test_each_mutation_has_a_name_of_its_own() -> None:
    assert set(Counter(mutation.name for mutation in MUTATIONS).values()) == {1}


def test_every_module_has_a_mutation() -> None:
    assert {mutation.module for mutation in MUTATIONS} == SOURCES.keys() - {"__init__", "__main__"}
