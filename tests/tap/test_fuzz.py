"""A little of `tests.fuzz` in each run: `make fuzz` goes on for as long as it is told."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from tap_claude import client
from tests.fuzz import TARGETS, Target, World, mutated

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    before, client.FIRST_WAIT = client.FIRST_WAIT, 0.0
    yield world
    client.FIRST_WAIT = before
    world.close()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.stream)
def test_the_answer_itself_is_read_whole(world: World, target: Target) -> None:
    body = json.dumps(world.answers[target.stream]).encode()
    records, _, error = world.read(target, body)
    assert not error
    assert any(record[target.column] for record in records)
    world.check(target, body)


@pytest.mark.parametrize(
    "seeds", [range(10), pytest.param(range(10, 60), marks=pytest.mark.long)], ids=str
)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.stream)
def test_every_sum_is_right_or_something_is_said(
    world: World, target: Target, seeds: range
) -> None:
    """The seeds are always the same; `make fuzz` is the one that roams."""
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311
        try:
            world.check(target, mutated(world.answers[target.stream], rng))
        except AssertionError as error:
            error.add_note(f"for seed {seed}")
            raise


def test_the_check_can_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the tap is not shown must be missed."""
    target = TARGETS[0]
    answer = json.loads(json.dumps(world.answers[target.stream]))
    result = world.read(target, json.dumps(answer).encode())
    answer["data"][0]["results"].append(answer["data"][0]["results"][0])
    monkeypatch.setattr(world, "read", lambda *_: result)
    with pytest.raises(AssertionError, match="instead of"):
        world.check(target, json.dumps(answer).encode())
