"""A long run whose access tokens live shortly: the same rows, and one exchange per token.

``python -m tests.long_run 20 60`` reads for 20 minutes with tokens that live 60 seconds. The
simulator is slow enough for that: a first run, without federation, counts the requests. Each
identity token is accepted once and replaced after its exchange. The access tokens are revoked once,
in the middle of the run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.oauth import TOKEN_PATH
from simulator.server import ACCESS_TOKEN, Simulator
from tests.conftest import RECENT, days_ago, environment, only, simulated
from tests.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 120
STREAMS = ("analytics_cost", "claude_code_usage", "messages_usage", "service_accounts", "users")


def read(config: dict[str, Any], folder: Path) -> tuple[int, str, str]:
    """Run the tap at debug level; return its exit code and its output."""
    command = [sys.executable, "-m", "tap_claude"]
    for name, content in (("config", config), ("catalog", only(config, *STREAMS))):
        (folder / f"{name}.json").write_text(json.dumps(content))
        command += [f"--{name}", str(folder / f"{name}.json")]
    env = environment(TAP_CLAUDE_LOGLEVEL="DEBUG")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stdout, done.stderr


def records(stdout: str) -> list[str]:
    """Return the records of a run without its time, in a fixed order."""
    found = []
    for line in stdout.splitlines():
        message = json.loads(line)
        if message["type"] == "RECORD":
            del message["record"]["extracted_at"]
            found.append(json.dumps([message["stream"], message["record"]], sort_keys=True))
    return sorted(found)


def rotate(workload: Workload, lifetime: float, revoke_at: float) -> None:
    """Renew the identity token after each exchange, and revoke the access tokens once."""
    simulator = workload.simulator
    is_revoked = False

    def plan(path: str, pairs: Any) -> None:  # noqa: ARG001
        nonlocal is_revoked
        if path == TOKEN_PATH:
            workload.renew(jti=str(len(workload.secrets)), exp=int(time.time() + max(lifetime, 60)))
        elif not is_revoked and time.monotonic() > revoke_at:
            is_revoked = True
            simulator.tokens.revoke()

    workload.issuer["check_jti"] = True
    workload.renew(jti="0", exp=int(time.time() + 3600))
    simulator.plan = plan


def complaints(workload: Workload, elapsed: float, lifetime: float) -> Iterator[str]:
    """Yield what is wrong with the requests that the simulator has seen."""
    simulator = workload.simulator
    exchanges = len(simulator.requests(TOKEN_PATH))
    issued = [it.token for it in simulator.tokens.issued]
    refused = sum(seen.status == 401 for seen in simulator.seen)
    if exchanges != len(issued):
        yield f"{exchanges - len(issued)} exchanges were refused"
    sent = [seen.headers.get("authorization") for seen in simulator.seen]
    tokens = [text.removeprefix("Bearer ") for text in sent if text]
    order = [token for token, last in zip(tokens, ["", *tokens], strict=False) if token != last]
    if order != issued:
        yield f"{len(issued)} tokens were issued, but {len(order)} were used in order"
    # Renewed 120 seconds before the end, or at half of the life; and after a 401.
    life = lifetime - min(120, lifetime / 2)
    if not elapsed / lifetime <= exchanges <= 1 + refused + elapsed / life:
        yield f"{exchanges} exchanges are too few or too many"
    if refused < 1:
        yield "the revoked token was not refused"


def main() -> int:
    """Run; return 1 if there are complaints."""
    parser = argparse.ArgumentParser(prog="python -m tests.long_run", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("lifetime", type=float, help="seconds")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="long-run-") as name,
        simulated(days=DAYS, now=RECENT, token_lifetime=args.lifetime) as simulator,
    ):
        found = [*run(simulator, Path(name), args.minutes * 60, args.lifetime)]
    for text in found:
        print(f"COMPLAINT {text}")
    return int(bool(found))


def run(simulator: Simulator, folder: Path, seconds: float, lifetime: float) -> Iterator[str]:
    """Read twice, fast with an access token and slowly with federation; yield complaints."""
    workload = Workload(simulator, folder)
    config = workload.settings(start_date=days_ago(DAYS - 1, RECENT))
    plain = {name: config[name] for name in config if "federation" not in name}
    del plain["identity_token_file"], plain["service_account_id"]
    _, expected, _ = read({**plain, "access_token": ACCESS_TOKEN}, folder)
    requests = len(simulator.seen)
    simulator.seen.clear()
    simulator.latency = seconds / requests
    begun = time.monotonic()
    rotate(workload, lifetime, begun + seconds / 2)
    code, stdout, stderr = read(config, folder)
    elapsed = time.monotonic() - begun
    rows = records(stdout)
    print(
        f"{elapsed:.0f} s, {len(simulator.seen)} requests, {len(rows)} records,"
        f" {len(simulator.tokens.issued)} access tokens of {lifetime:g} s,"
        f" {sum(seen.status == 401 for seen in simulator.seen)} refused (401)"
    )
    if code:
        yield f"exit code {code}: {stderr[-500:]}"
    if rows != records(expected) or not rows:
        yield f"{len(rows)} records, but {len(records(expected))} without federation"
    if workload.leaks(stdout + stderr):
        yield "a token was printed"
    yield from complaints(workload, elapsed, lifetime)


if __name__ == "__main__":
    sys.exit(main())
