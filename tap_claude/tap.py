"""TapClaude: validates the settings, builds the catalogue, runs the streams, reports errors."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import click
from dotenv import find_dotenv, load_dotenv
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from typing_extensions import override

from tap_claude.bucket_log import BucketLog
from tap_claude.config import CONFIG_SCHEMA, SECRETS, Config, with_defaults
from tap_claude.credentials import (
    CREDENTIALS,
    ORGANIZATION_TYPE,
    access_needed,
    credential_for,
)
from tap_claude.money import restore_decimals
from tap_claude.organizations import unread_organizations
from tap_claude.redaction import REDACTION, redact_logs, sanitize_for_log
from tap_claude.state_file import read_state
from tap_claude.streams import REPORTS, STREAMS, ReportBuckets
from tap_claude.sync_context import SyncContext
from tap_claude.validation import (
    find_errors,
    from_environment,
    key_warnings,
    privacy_warnings,
    problems,
    report_problems,
    report_warnings,
    unknown_settings,
)
from tap_claude.writer import BufferedWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from singer_sdk import Stream

    from tap_claude.stream import ClaudeStream

RESERVED_NAMES = (*REPORTS, *STREAMS)
"""Names that a custom report cannot have."""
NOTHING_SELECTED = (
    "No stream is selected, so nothing is read. With Meltano, add '*.*' to select: lines that start"
    ' with ! only exclude. In a catalogue, a stream is selected by "selected": true.'
)
GC_THRESHOLD = 20_000
"""Allocations after which the garbage collector runs; Python's default is 700."""


class TapClaude(Tap):
    """Claude usage and cost, from Anthropic's Admin API and Usage and Cost Analytics API."""

    name = "tap-claude"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    message_writer_class = BufferedWriter

    def __init__(
        self,
        *,
        config: dict[str, Any] | None = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        **kwargs: Any,
    ) -> None:
        """Check the settings, with clearer messages than the SDK's, and start."""
        self.append_builtin_config(self.config_jsonschema)
        given = {**(config or {}), **(environment() if parse_env_config else {})}
        settings = with_defaults(given)
        self._check(settings, raise_errors=validate_config)
        super().__init__(config=settings, validate_config=validate_config, **kwargs)

    @override
    def discover_streams(self) -> Sequence[Stream]:
        started_at = dt.datetime.fromtimestamp(self.initialized_at / 1000, tz=dt.UTC)
        config = Config(self.config)
        self.run = SyncContext(config, started_at, self.logger)
        self.run.bucket_log = BucketLog(self.flush_bucket_log)

        def is_offered(stream: type[ClaudeStream]) -> bool:
            if stream.is_legacy and not config.legacy_reports:
                return False
            return not config.credentials or (
                credential_for(config.credentials, stream.credentials) is not None
            )

        specs = [
            *(config.default_report(declared) for declared in REPORTS.values()),
            *config.custom_reports(),
        ]
        return [
            *(
                REPORTS[spec.base_stream](self, run=self.run, spec=spec)
                for spec in specs
                if is_offered(REPORTS[spec.base_stream])
            ),
            *(stream(self, run=self.run) for stream in STREAMS.values() if is_offered(stream)),
        ]

    @property
    @override
    def streams(self) -> dict[str, Stream]:
        is_first = self._streams is None
        streams = super().streams
        if is_first:
            self._begin_run(streams)
        return streams

    def _begin_run(self, streams: dict[str, Any]) -> None:
        # It reports on the other streams, so it must be last; the SDK sorts streams by name.
        if last := streams.pop(ReportBuckets.name, None):
            streams[ReportBuckets.name] = last
        if last is None or not last.selected:
            self.run.bucket_log = None
        asked = [path for s in streams.values() if s.selected for path in s.cacheable_paths]
        self.run.client.cacheable_paths = frozenset(path for path in asked if asked.count(path) > 1)

    @property
    @override
    def catalog_dict(self) -> dict[str, Any]:
        catalog = super().catalog_dict
        for entry in catalog["streams"]:
            restore_decimals(entry["schema"])
        return catalog

    # -- settings

    @classmethod
    def _check(cls, settings: dict[str, Any], *, raise_errors: bool) -> None:
        """Log warnings for suspicious settings, and raise ``ConfigValidationError`` for errors."""
        redact_logs(
            {settings[name] for name in SECRETS if isinstance(settings.get(name), str)},
            addresses=settings.get("pseudonymize_users", "none") != "none",
        )
        errors = for_discovery = find_errors(settings, cls.config_jsonschema)
        warnings = [*unknown_settings(settings, cls.config_jsonschema["properties"])]
        if not errors:
            for_discovery = [*report_problems(settings, REPORTS, taken=RESERVED_NAMES)]
            errors = [*problems(settings, now=dt.datetime.now(dt.UTC)), *for_discovery]
        if not errors:
            warnings += [
                *key_warnings(settings),
                *privacy_warnings(settings),
                *report_warnings(Config(settings), REPORTS),
            ]
        for warning in warnings:
            cls.logger.warning("%s", warning)
        # The catalogue depends on types and reports, so errors in them stop discovery too.
        if for_discovery or (errors and raise_errors):
            msg = "Config validation failed"
            raise ConfigValidationError(msg, errors=errors, schema=cls.config_jsonschema)

    # -- command line

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: Any = None,
        catalog: Any = None,
    ) -> None:
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        if not cls.logger.isEnabledFor(logging.DEBUG):
            # urllib3 logs tracebacks and URLs of retried requests; the client reports them itself.
            logging.getLogger("urllib3").setLevel(logging.ERROR)
        with one_line_errors(cls.logger):
            tap = cls(
                config=config.config if config else {},
                parse_env_config=bool(config and config.parse_env),
                state=_read_state(state),
                catalog=_read_json(catalog, "--catalog"),
            )
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _end_by_signal)
            tap.warn_if_nothing_is_selected()
            # Streams and schemas stay in memory, and rows have no reference cycles. Searching for
            # cycles would take 5 % of a run, and 0.05 seconds at its end.
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
            tap.read_all()
            tap.report_failures()

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError) as error:
            msg = f"--config: cannot be read: {error}"
            raise click.ClickException(msg) from error

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        with one_line_errors(cls.logger):
            super().cb_discover(ctx, param, value)

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value == "disabled":
            return
        config = ctx.params["config"]
        with one_line_errors(cls.logger):
            tap = cls(config=config.config, parse_env_config=config.parse_env)
            if value == "schema":
                tap.write_schemas()
            else:
                tap.run_connection_test()
                tap.report_failures()
            ctx.exit()

    # -- a run

    def read_all(self) -> None:
        """Read all selected streams; a failed stream does not stop the others.

        Raises errors that end the run: the API is down, or standard output is broken. Errors of
        streams are in ``run.failures`` and ``run.refusals``.
        """
        self._warn_of_unread_organizations()
        try:
            self.sync_all()
        except OSError:
            raise  # standard output is broken
        except Exception:
            self.flush_bucket_log()
            raise

    def flush_bucket_log(self) -> None:
        """Write ``report_buckets`` for the buckets that have been written so far."""
        if self.run.bucket_log is not None and self.run.bucket_log.waiting:
            self.streams[ReportBuckets.name].sync()

    def report_failures(self) -> None:
        """Log the streams that could not be read; exit with 1 unless errors are to be skipped."""
        fail = self.run.config.fails_on_permission_error
        for refusal in self.run.refusals.values():
            self.logger.log(logging.ERROR if fail else logging.WARNING, "%s", refusal)
        failures = [*self.run.failures.values(), *self._unreadable_streams()]
        for failure in failures:
            self.logger.error("%s", failure)
        if failures or (fail and self.run.refusals):
            sys.exit(1)

    def warn_if_nothing_is_selected(self) -> None:
        """Log a warning if no stream is selected."""
        entries = self.input_catalog.streams if self.input_catalog else ()
        if not any(stream.selected for stream in self.streams.values()) and not any(
            entry.metadata.root.selected for entry in entries
        ):
            self.logger.warning(NOTHING_SELECTED)

    def _warn_of_unread_organizations(self) -> None:
        if not self.streams:  # the property discovers the streams and begins the run
            return
        for kind in unread_organizations(self.state, self.run.config.kinds):
            settings = [name for name in CREDENTIALS if ORGANIZATION_TYPE[name] == kind]
            self.logger.warning(
                "The state contains an organization of type %s, but none of its credentials is set"
                " (%s). It is not read, and no ACTIVATE_VERSION is sent for tables that contain its"
                " rows. If this is intended, delete its entries from the state.",
                kind,
                ", ".join(settings),
            )

    def _unreadable_streams(self) -> Iterator[str]:
        """Yield an error for each selected stream in the catalogue that no credential can read."""
        for entry in self.input_catalog.streams if self.input_catalog else ():
            name = entry.tap_stream_id
            if name in self.streams or not entry.metadata.root.selected:
                continue
            declared = {**REPORTS, **STREAMS}.get(name)
            if declared is not None and (
                credential_for(self.run.config.credentials, declared.credentials) is None
            ):
                needed = access_needed(declared.credentials, declared.required_scope)
                yield (
                    f"{name}: is selected in the catalogue, but none of its credentials is set; it"
                    f" needs {needed}. Set the credential, or deselect the stream"
                )
            else:
                self.logger.warning(
                    "%s: is selected in the catalogue, but is not available with these settings.",
                    sanitize_for_log(name),
                )


def _read_json(file: Any, option: str) -> Any:
    if file is None:
        return None
    import json  # noqa: PLC0415

    try:
        content = json.load(file)
    except ValueError as error:
        msg = f"{option}: is not JSON: {error}"
        raise click.ClickException(msg) from error
    if not isinstance(content, dict):
        msg = f"{option}: must contain a JSON object"
        raise click.ClickException(msg)
    return content


def _read_state(file: Any) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        return read_state(file.read())
    except ValueError as error:
        msg = sanitize_for_log(f"--state: {error}")
        raise click.ClickException(msg) from error


def _line_of(error: Exception) -> str:
    text = sanitize_for_log(str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot write to standard output or the disk: {text}"
    return text


@contextlib.contextmanager
def one_line_errors(logger: logging.Logger) -> Iterator[None]:
    """Log an error that ends a run as one line, and exit with 1; log a traceback at debug level."""
    try:
        yield
    except click.ClickException as error:
        raise click.ClickException(REDACTION.mask(error.message)) from error
    except click.exceptions.Exit:
        raise  # click exits the process
    except ConfigValidationError as error:
        # The SDK logs these for a run, but not for --test.
        for line in error.errors:
            logger.error("%s", line)  # noqa: TRY400
        sys.exit(1)
    except BrokenPipeError:
        _end_output()
        logger.error("The target closed the pipe; the run ends here.")  # noqa: TRY400
        sys.exit(1)
    except Exception as error:
        _end_output()
        logger.error(  # noqa: TRY400
            "%s",
            _line_of(error),
            exc_info=logger.isEnabledFor(logging.DEBUG),
        )
        sys.exit(1)


def _end_output() -> None:
    """Write what is buffered, or discard it if that fails: the interpreter would exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def environment() -> dict[str, Any]:
    """Return the settings in ``TAP_CLAUDE_<SETTING>`` variables, also from a ``.env`` file."""
    load_dotenv(find_dotenv(usecwd=True))
    prefix = f"{TapClaude.name.upper().replace('-', '_')}_"
    texts = {
        name: os.environ[prefix + name.upper()]
        for name in TapClaude.config_jsonschema["properties"]
        if prefix + name.upper() in os.environ
    }
    return from_environment(texts, TapClaude.config_jsonschema)


def _end_by_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Exit with 128 + the signal number, as shells do. The STATE of the last page is written."""
    TapClaude.logger.info("Stopped by %s.", signal.Signals(number).name)
    sys.exit(128 + number)
