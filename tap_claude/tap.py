"""TapClaude: settings checked before the first call, the catalogue, and how a run ends."""

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
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR
from typing_extensions import override

from tap_claude.bucket_log import BucketLog
from tap_claude.client import (
    CREDENTIALS,
    ORGANIZATION_TYPE,
    SECRETS,
    Run,
    credential_for,
    restore_decimals,
)
from tap_claude.organizations import unread_organizations
from tap_claude.redaction import REDACTION, printable, redact_logs
from tap_claude.settings import (
    CONFIG_SCHEMA,
    custom_reports,
    default_report,
    from_environment,
    key_warnings,
    privacy_warnings,
    problems,
    report_problems,
    report_warnings,
    unknown_settings,
)
from tap_claude.state_file import read_state
from tap_claude.streams import REPORTS, STREAMS, LegacyReport, ReportBuckets
from tap_claude.writer import BlockWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from jsonschema import ValidationError
    from singer_sdk import Stream

    from tap_claude.client import ClaudeStream

TAKEN = (*REPORTS, *STREAMS)
NOTHING_SELECTED = (
    "No stream is selected, so nothing is read. With Meltano, add '*.*' to select: lines that begin"
    ' with ! only leave out. In a catalogue, a stream is selected by "selected": true.'
)
GC_THRESHOLD = 20_000
"""Containers after which the garbage collector looks for cycles; Python's default is 700."""


class TapClaude(Tap):
    """Claude usage and cost, from Anthropic's Admin API and Usage and Cost Analytics API."""

    name = "tap-claude"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    message_writer_class = BlockWriter

    @override
    def discover_streams(self) -> Sequence[Stream]:
        started_at = dt.datetime.fromtimestamp(self.initialized_at / 1000, tz=dt.UTC)
        self.run = Run(self.config, started_at, self.logger)
        self.run.bucket_log = BucketLog(self.report_buckets)
        everything = credential_for(self.config, CREDENTIALS) is None

        def offered(stream: type[ClaudeStream]) -> bool:
            if issubclass(stream, LegacyReport) and not self.config.get("legacy_reports"):
                return False
            return everything or credential_for(self.config, stream.credentials) is not None

        reports = [
            *(default_report(declared, self.config) for declared in REPORTS.values()),
            *custom_reports(self.config),
        ]
        return [
            *(
                REPORTS[report.report](self, run=self.run, report=report)
                for report in reports
                if offered(REPORTS[report.report])
            ),
            *(stream(self, run=self.run) for stream in STREAMS.values() if offered(stream)),
        ]

    @property
    @override
    def streams(self) -> dict[str, Stream]:
        streams = super().streams
        # It tells of the others, so it comes last; the SDK has sorted them by name.
        last = ReportBuckets.name
        if last in streams and next(reversed(streams)) != last:
            streams[last] = streams.pop(last)
        if last not in streams or not streams[last].selected:
            self.run.bucket_log = None
        return streams

    @property
    @override
    def catalog_dict(self) -> dict[str, Any]:
        catalog = super().catalog_dict
        for entry in catalog["streams"]:
            restore_decimals(entry["schema"])
        return catalog

    # -- settings

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        # The SDK's own parser fails without the setting's name, and takes any text for false.
        schema = cls.config_jsonschema
        cls.append_builtin_config(schema)
        as_text = {"properties": {name: {"type": "string"} for name in schema["properties"]}}
        return from_environment(parse_environment_config(as_text, cls._env_var_prefix), schema)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's own messages print the values, secrets too, and it knows types only.
        config, schema = self._config, self.config_jsonschema
        redact_logs(
            {config[name] for name in SECRETS if isinstance(config.get(name), str)},
            addresses=config.get("pseudonymize_users", "none") != "none",
        )
        for name in [name for name, value in config.items() if value is None or value == ""]:
            del config[name]  # as if it were not set, so that its default holds
        errors = for_discovery = [
            _line(error) for error in DEFAULT_JSONSCHEMA_VALIDATOR(schema).iter_errors(config)
        ]
        if not errors:
            super()._validate_config(raise_errors=raise_errors)  # fills in the defaults
            for_discovery = [*report_problems(config, REPORTS, taken=TAKEN)]
            errors = [*problems(config, now=dt.datetime.now(dt.UTC)), *for_discovery]
        warnings = [*unknown_settings(config, schema["properties"])]
        if not errors:
            warnings += [
                *key_warnings(config),
                *privacy_warnings(config),
                *report_warnings(config),
            ]
        for warning in warnings:
            self.logger.warning("%s", warning)
        # The catalogue depends on types and reports, so discovery does not go on with wrong ones.
        if for_discovery or (errors and raise_errors):
            msg = "Config validation failed"
            raise ConfigValidationError(msg, errors=errors, schema=schema)
        return errors

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
            # It prints tracebacks and whole URLs for what is retried, and named if it lasts.
            logging.getLogger("urllib3").setLevel(logging.ERROR)
        with one_line_errors(cls.logger):
            tap = cls(
                config=config.config if config else {},
                parse_env_config=bool(config and config.parse_env),
                state=_read_state(state),
                catalog=_read_json(catalog, "--catalog"),
            )
            tap.warn_if_nothing_is_selected()
            # What is loaded by now stays, and rows have no cycles: looking for some would take a
            # twentieth of a run, and a twentieth of a second at its end.
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
        """Read all selected streams; one that fails does not stop the others.

        Raises what ends the run: the API is down, or standard output is broken. What ended a
        stream is in ``run.failures`` and ``run.refusals``.
        """
        self._warn_of_unread_organizations()
        try:
            self.sync_all()
        except OSError:
            raise  # nothing can be written any more
        except Exception:
            self.report_buckets()
            raise

    def report_buckets(self) -> None:
        """Write ``report_buckets`` for the buckets that have been read and written so far."""
        if self.run.bucket_log is not None and self.run.bucket_log.waiting:
            self.streams[ReportBuckets.name].sync()

    def report_failures(self) -> None:
        """Name each stream that could not be read; exit with 1 unless that is to be skipped."""
        fail = self.config.get("on_permission_error", "fail") == "fail"
        for refusal in self.run.refusals.values():
            self.logger.log(logging.ERROR if fail else logging.WARNING, "%s", refusal)
        failures = [*self.run.failures.values(), *self._unreadable_streams()]
        for failure in failures:
            self.logger.error("%s", failure)
        if failures or (fail and self.run.refusals):
            sys.exit(1)

    def warn_if_nothing_is_selected(self) -> None:
        """Warn of a run that reads nothing because it is not asked to."""
        entries = self.input_catalog.streams if self.input_catalog else ()
        if not any(stream.selected for stream in self.streams.values()) and not any(
            entry.metadata.root.selected for entry in entries
        ):
            self.logger.warning(NOTHING_SELECTED)

    def _warn_of_unread_organizations(self) -> None:
        if not self.streams:  # discovers them, and begins the run
            return
        for kind in unread_organizations(self.state, self.run.kinds):
            settings = [name for name in CREDENTIALS if ORGANIZATION_TYPE[name] == kind]
            self.logger.warning(
                "The state knows an organization of type %s, but none of its credentials is set"
                " (%s). It is not read, and tables that it fills too are not activated. If that is"
                " meant, delete its entries from the state.",
                kind,
                ", ".join(settings),
            )

    def _unreadable_streams(self) -> Iterator[str]:
        """Yield a line for each selected stream of the catalogue that no credential can read."""
        for entry in self.input_catalog.streams if self.input_catalog else ():
            name = entry.tap_stream_id
            if name in self.streams or not entry.metadata.root.selected:
                continue
            declared = {**REPORTS, **STREAMS}.get(name)
            if declared is not None and credential_for(self.config, declared.credentials) is None:
                yield (
                    f"{name}: is selected in the catalogue, but none of its credentials is set; it"
                    f" needs {declared.needs}. Set it, or deselect the stream"
                )
            else:
                self.logger.warning(
                    "%s: is selected in the catalogue, but the settings offer no such stream.",
                    printable(name),
                )

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End with 128 + the signal, as shells do. STATE has been written after every page."""
        self.logger.info("Stopped by %s.", signal.Signals(signum).name)
        sys.exit(128 + signum)


TYPES = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
"""How the errors of JSON Schema's types are told."""


def _line(error: ValidationError) -> str:
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    ).removeprefix(".")
    if path in SECRETS:
        return f"{path}: must be a string"
    if error.validator == "type":
        allowed: Any = error.validator_value
        kinds = [TYPES[name] for name in TYPES if name in allowed]
        is_text = isinstance(error.instance, str) and kinds[0] in {"an array", "an object"}
        hint = "; in an environment variable, write it as JSON" if is_text else ""
        return f"{path}: must be {' or '.join(kinds)}{hint}"
    return printable(f"{path}: {error.message}" if path else error.message)


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
        msg = f"{option}: must hold a JSON object"
        raise click.ClickException(msg)
    return content


def _read_state(file: Any) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        return read_state(file.read())
    except ValueError as error:
        msg = printable(f"--state: {error}")
        raise click.ClickException(msg) from error


def _line_of(error: Exception) -> str:
    text = printable(str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        return f"standard output or the disk cannot be used: {text}"
    return text


@contextlib.contextmanager
def one_line_errors(logger: logging.Logger) -> Iterator[None]:
    """Turn what ends a run into one line and exit code 1; a traceback only at level debug."""
    try:
        yield
    except click.ClickException as error:
        raise click.ClickException(REDACTION.mask(error.message)) from error
    except click.exceptions.Exit:
        raise  # click ends the process
    except ConfigValidationError as error:
        # The SDK prints these for a run, but not for --test.
        for line in error.errors:
            logger.error("%s", line)  # noqa: TRY400
        sys.exit(1)
    except BrokenPipeError:
        # Nothing can be written any more, not even by the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        logger.error("The target closed the pipe; the run ends here.")  # noqa: TRY400
        sys.exit(1)
    except Exception as error:
        logger.error(  # noqa: TRY400
            "%s",
            _line_of(error),
            exc_info=logger.isEnabledFor(logging.DEBUG),
        )
        sys.exit(1)
