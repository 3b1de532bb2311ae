"""State that the streams of one run share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_claude.client import Client
from tap_claude.organizations import Organizations
from tap_claude.progress import Progress

if TYPE_CHECKING:
    import datetime as dt
    import logging

    from tap_claude.bucket_log import BucketLog
    from tap_claude.config import Config


class SyncContext:
    """One run: its configuration, its client, and the errors of its streams."""

    def __init__(self, config: Config, started_at: dt.datetime, logger: logging.Logger) -> None:
        """Start a run; progress and retries are reported to the logger."""
        self.config = config
        # Fixed precision, because targets that append rows compare these as text.
        self.extracted_at = started_at.strftime("%Y-%m-%dT%H:%M:%S") + (
            f".{started_at.microsecond // 1000:03}Z"
        )
        self.version = int(started_at.timestamp())
        self.progress = Progress(logger)
        self.organizations = Organizations(config.organization_label, config.kinds)
        self.client = Client(config, self.organizations, self.progress, logger)
        self.bucket_log: BucketLog | None = None
        """None if ``report_buckets`` is not selected."""
        self.refusals: dict[tuple[str, str], str] = {}
        """Messages about missing permissions, by stream and kind of organization."""
        self.failures: dict[tuple[str, str], str] = {}
        """Messages about other errors, by stream and kind of organization."""
