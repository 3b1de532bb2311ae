"""The short form of `tests.fuzz`; `make fuzz` runs for any time."""

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
def test_an_unchanged_response_is_read_completely(world: World, target: Target) -> None:
    body = json.dumps(world.responses[target.stream]).encode()
    records, _, error = world.read(target, body)
    assert not error
    assert any(record[target.column] for record in records)
    world.check(target, body)


@pytest.mark.parametrize(
    "seeds", [range(10), pytest.param(range(10, 60), marks=pytest.mark.long)], ids=str
)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.stream)
def test_every_sum_is_right_or_an_error_is_reported(
    world: World, target: Target, seeds: range
) -> None:
    """The seeds are always the same; `make fuzz` uses new ones."""
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311
        try:
            world.check(target, mutated(world.responses[target.stream], rng))
        except AssertionError as error:
            error.add_note(f"for seed {seed}")
            raise


def test_the_check_can_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the tap does not get must be found missing."""
    target = TARGETS[0]
    response = json.loads(json.dumps(world.responses[target.stream]))
    result = world.read(target, json.dumps(response).encode())
    response["data"][0]["results"].append(response["data"][0]["results"][0])
    monkeypatch.setattr(world, "read", lambda *_: result)
    with pytest.raises(AssertionError, match="instead of"):
        world.check(target, json.dumps(response).encode())
