"""One test of a rule, for any number of cases."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Test = Any
"""A test; pytest decides which arguments it gets."""


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Run a test for each case, as ``parametrize`` does, but as one test.

    All cases are tried, and the failed ones are named. They share the test's fixtures, so a case
    must not change them for the others.
    """
    parameters = (names,) if isinstance(names, str) else names
    rows = [(case,) if isinstance(names, str) else tuple(case) for case in cases]

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            assert rows
            failures = []
            for row in rows:
                case = dict(zip(parameters, row, strict=True))
                try:
                    test(**fixtures, **case)
                except Exception as error:  # noqa: BLE001  # raised at the end
                    error.add_note(f"for {case}")
                    failures.append(error)
            if len(failures) == 1:
                raise failures[0]
            if failures:
                msg = f"{len(failures)} of {len(rows)} cases"
                raise ExceptionGroup(msg, failures)

        own = inspect.signature(test).parameters.values()
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter for parameter in own if parameter.name not in parameters]
        )
        return run

    return decorate
