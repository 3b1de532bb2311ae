"""``python -m simulator --days 400 --port 8787``: serve a simulated organization by hand."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import pathlib
import sys
import time

from simulator.facts import Facts
from simulator.fault_plans import FaultPlan
from simulator.oauth import admin_rule, identity_token
from simulator.replay import Replay
from simulator.server import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    ANALYTICS_KEY,
    COMPLIANCE_KEY,
    PERSONAL_KEY,
    Simulator,
)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--days", type=int, default=120, help="length of the history (120)")
    parser.add_argument(
        "--first-day", type=dt.date.fromisoformat, help="first day of the history; overrides --days"
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of the history (7)")
    parser.add_argument("--breadth", type=int, default=24, help="facts per weekday (24)")
    parser.add_argument("--port", type=int, default=8787, help="0: any free port (8787)")
    parser.add_argument(
        "--now", type=dt.datetime.fromisoformat, help="fixed time, with a time zone"
    )
    parser.add_argument("--requests-per-minute", type=int, default=0, help="0: no limit (0)")
    parser.add_argument(
        "--refuse-future", action="store_true", help="reject an ending_at in the future"
    )
    parser.add_argument(
        "--shared-people",
        action="store_true",
        help="use the same people, workspaces and keys for every seed",
    )
    parser.add_argument(
        "--no-organization-header",
        action="store_true",
        help="omit anthropic-organization-id from the responses",
    )
    parser.add_argument("--split-buckets", action="store_true", help="split buckets across pages")
    parser.add_argument(
        "--repeat-rows", action="store_true", help="repeat the last row of a page on the next page"
    )
    parser.add_argument(
        "--fault-rate", type=float, default=0, help="fraction of failing requests (0)"
    )
    parser.add_argument("--fault-seed", type=int, default=0, help="seed of the faults (0)")
    parser.add_argument(
        "--replay", type=pathlib.Path, help="directory of recorded responses to serve"
    )
    parser.add_argument(
        "--token-lifetime", type=float, help="seconds that access tokens of federation live (900)"
    )
    parser.add_argument("--latency", type=float, default=0, help="seconds per response (0)")
    parser.add_argument(
        "--identity-file", type=pathlib.Path, help="write an identity token for federation here"
    )
    parser.add_argument("--url-file", type=pathlib.Path, help="write the server's URL here")
    args = parser.parse_args()
    if args.now and not args.now.tzinfo:
        parser.error("--now: needs a time zone, for example 2026-01-01T12:00:00Z")
    today = (args.now or dt.datetime.now(dt.UTC)).date()
    first_day = args.first_day or today - dt.timedelta(days=args.days - 1)
    facts = Facts(
        seed=args.seed,
        first_day=first_day,
        today=today,
        breadth=args.breadth,
        shared_people=args.shared_people,
    )
    simulator = Simulator(
        facts,
        port=args.port,
        now=args.now,
        requests_per_minute=args.requests_per_minute,
        refuse_future=args.refuse_future,
        replay=Replay(args.replay) if args.replay else None,
        split_buckets=args.split_buckets,
        repeat_rows=args.repeat_rows,
        organization_header=not args.no_organization_header,
        token_lifetime=args.token_lifetime,
        latency=args.latency,
    )
    if args.fault_rate:
        simulator.plan = FaultPlan(args.fault_seed, args.fault_rate)
    if args.url_file:
        args.url_file.write_text(simulator.url)
    print(  # noqa: T201
        f"Serving {simulator.url}, history from {first_day}.\n"
        f"admin_api_key: {ADMIN_KEY}  analytics_api_key: {ANALYTICS_KEY}  "
        f"access_token: {ACCESS_TOKEN}\n"
        f"workspace_api_key: {PERSONAL_KEY}  compliance_api_key: {COMPLIANCE_KEY}\n"
        f"agent_workspace_ids: {json.dumps(facts.organization.workspaces)}",
        file=sys.stderr,
    )
    if args.identity_file:
        directory = simulator.tokens.directory
        rule = admin_rule(directory)
        token = identity_token(directory, rule, exp=int(time.time()) + 3600)
        args.identity_file.write_text(f"{token}\n")
        print(  # noqa: T201
            f"federation_rule_id: {rule['id']}  federation_organization_id: "
            f"{directory.organization.id}  service_account_id: "
            f"{rule['target']['service_account_id']}  identity_token_file: {args.identity_file}",
            file=sys.stderr,
        )
    try:
        simulator.serve()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
