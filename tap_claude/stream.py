"""The base class of all streams: organizations, records, errors and Singer messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from singer_sdk import SchemaDirectory, Stream, StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.metrics import Counter
from typing_extensions import override

from tap_claude import schemas
from tap_claude.client import MAX_BYTES, PAGE_BYTES, ApiRequest
from tap_claude.credentials import CONSOLE, access_needed, credential_for, organization_types
from tap_claude.errors import PermissionDeniedError, RunError, StreamError
from tap_claude.pagination import Paginator
from tap_claude.prefetch import prefetch
from tap_claude.pseudonyms import Pseudonyms
from tap_claude.records import Columns, SchemaMismatchError
from tap_claude.redaction import sanitize_for_log
from tap_claude.reshape import unchanged
from tap_claude.writer import BufferedWriter

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_claude.organizations import Identity
    from tap_claude.pages import ApiPage, Row
    from tap_claude.sync_context import SyncContext


T = TypeVar("T")


class SchemaOfClass(StreamSchema[str]):
    """Finds the schema file by the name in the class, also for custom reports."""

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Any]) -> dict[str, Any]:
        return self.schema_source.get_schema(stream_class.name, key_properties=stream.primary_keys)


class ClaudeStream(Stream):
    """A stream of the API. Subclasses implement `read`, which yields records."""

    schema: ClassVar = SchemaOfClass(SchemaDirectory(schemas))
    # `Columns` has already conformed the records, more strictly than the SDK.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    path: ClassVar[str]
    """Path below ``/v1/organizations/``; a path that begins with ``/`` is complete."""
    credentials: ClassVar[tuple[str, ...]] = CONSOLE
    """Credentials that may read the stream, in order of preference."""
    required_scope: ClassVar[str | None] = None
    """Scope that an Enterprise or Compliance key requires."""
    beta_headers: tuple[str, ...] = ()
    paginator: type[Paginator] = Paginator
    returns_object: ClassVar[bool] = False
    """Whether the response is a single object instead of a list."""
    is_legacy: ClassVar[bool] = False
    """Whether the stream requires the setting ``legacy_reports``."""
    ignored_fields: ClassVar[tuple[str, ...]] = ()
    """Fields of the API that belong to another stream, or that are content."""
    reshape: ClassVar[Callable[[Row], Iterable[Row]]] = unchanged
    """Converts a row of the API into the rows of the stream."""

    def __init__(self, tap: Tap, *, run: SyncContext, name: str | None = None) -> None:
        """Add the stream to a run."""
        super().__init__(tap, name=name)
        # The logger is an adapter since singer-sdk 0.55.
        getattr(self.logger, "logger", self.logger).addFilter(_drop_duplicate_error)
        self.run = run
        self.columns = Columns(self.schema)
        self._pseudonyms: Pseudonyms | None = None
        if run.config.pseudonymizes:
            self._pseudonyms = Pseudonyms(
                run.config.pseudonymize_users,
                run.config.pseudonymize_key,
                self.columns.persons,
                self.columns.personal_objects,
            )
        self._fast_writer: BufferedWriter | None = None
        self._left_out: list[str] = []
        """Columns that are not written to the target."""
        self._named_fields = set(self.ignored_fields)
        """Unknown fields that have been logged, or that need no warning."""

    # -- organizations

    @property
    def organization_types(self) -> tuple[str, ...]:
        """Kinds of organization with a configured credential that may read the stream.

        If no credential is configured (discovery without settings), the stream's default kind.
        """
        configured = [name for name in self.credentials if name in self.run.config.credentials]
        return organization_types(configured or self.credentials[:1])

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        kinds = self.organization_types
        return [{"organization_type": kind} for kind in kinds] if len(kinds) > 1 else None

    def identify(self, organization_type: str) -> Identity:
        """Return the organization columns of records, and store the identity in the state.

        Raises `OtherOrganizationError`.
        """
        credential = self.credential(organization_type)
        return self.run.organizations.identify(organization_type, self.stream_state, credential)

    def credential(self, organization_type: str) -> str | None:
        """Return the setting with the credential that reads the stream; None if none is set."""
        return credential_for(self.run.config.credentials, self.credentials, organization_type)

    # -- pages

    @property
    def cacheable_paths(self) -> tuple[str, ...]:
        """Paths that another stream may request with the same parameters."""
        return ()

    def fetch(
        self,
        organization_type: str,
        params: Mapping[str, Any],
        *,
        path: str | None = None,
        workspace_id: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Iterator[ApiPage]:
        """Yield the pages of a request. Raises `StreamError` and `RunError`."""
        credential = self.credential(organization_type)
        if credential is None:
            msg = f"no credential is set; the stream needs {self.access_needed}"
            raise StreamError(msg)
        request = ApiRequest(
            stream=self.name,
            path=path or self.path,
            organization_type=organization_type,
            credential=credential,
            workspace_id=workspace_id,
            params=params,
            beta_headers=self.beta_headers,
            returns_object=self.returns_object,
            max_bytes=max_bytes,
        )
        return self.run.client.pages(request, self.paginator())

    def prefetch(
        self, items: Iterator[tuple[T, ApiPage | None]]
    ) -> Iterator[tuple[T, ApiPage | None]]:
        """Fetch the next page while one is processed, unless two would need too much memory."""
        if self.ABORT_AT_RECORD_COUNT is not None:
            return items  # --test reads one record only
        return prefetch(
            items,
            eager=lambda item: item[1] is None or item[1].size <= PAGE_BYTES,
            uncounted=lambda item: item[1] is None,
        )

    # -- records

    def read(self, organization_type: str, partition: Context | None) -> Iterable[Row]:
        """Yield the records of one organization; ``partition`` is None if there is only one.

        The partition of a key that reads several workspaces one by one is a workspace.
        """
        raise NotImplementedError

    @override
    def get_records(self, context: Context | None) -> Iterable[Row]:
        kind = (context or {}).get("organization_type", self.organization_types[0])
        workspace_id = (context or {}).get("workspace_id")
        progress = self.run.progress
        progress.start(self.name)
        self._select_write_path()
        try:
            for record in self.read(kind, context):
                if self._pseudonyms:
                    self._pseudonyms.finish(record)
                progress.rows += 1
                yield record
        except RunError as error:
            msg = f"{self.name}: {error}"
            raise type(error)(msg) from error
        except PermissionDeniedError as error:
            self._refuse(kind, workspace_id, error)
        except OSError:
            raise  # standard output is broken
        except Exception as error:  # noqa: BLE001  # the other streams are still read
            self._fail(kind, workspace_id, error)
        finally:
            progress.stop()
            self.flush()

    def conform(self, row: Mapping[str, Any]) -> Row:
        """Convert a row to a flat record with exactly the columns of the schema."""
        record = self.columns.conform(row)
        self.report_unknown_fields()
        if self._pseudonyms:
            self._pseudonyms.replace(record)
        return record

    def report_unknown_fields(self) -> None:
        """Name the fields that rows had and the schema does not have, once each."""
        if not self.columns.unknown:
            return
        ignored = tuple(f"{name}_" for name in self.ignored_fields)
        new = {
            name
            for name in self.columns.unknown - self._named_fields
            if not name.startswith(ignored)
        }
        self._named_fields |= new
        self.columns.unknown.clear()
        if new:
            self.warn(
                "the API returns fields that are unknown to this version and left out: %s",
                ", ".join(sorted(sanitize_for_log(name) for name in new)),
            )

    # -- errors

    @property
    def access_needed(self) -> str:
        """Credential and scope that the stream requires."""
        return access_needed(self.credentials, self.required_scope)

    def warn(self, message: str, *values: Any) -> None:
        """Log a warning that names the stream."""
        self.logger.warning(f"%s: {message}", self.name, *values)  # noqa: G004

    def _refuse(self, kind: str, workspace_id: str | None, error: PermissionDeniedError) -> None:
        place = self._leave_out(workspace_id, str(error))
        self.run.refusals.setdefault(
            (self.name, kind),
            f"{place}: {error}. The stream needs {self.access_needed}. To leave it out, add"
            f" '!{self.name}.*' to select, or set on_permission_error to skip.",
        )

    def _fail(self, kind: str, workspace_id: str | None, error: Exception) -> None:
        """Record the error that ended the stream; the run continues with the others."""
        text = str(error) or type(error).__name__
        if isinstance(error, RecursionError):
            text = "a row of the API is nested too deeply"
        elif isinstance(error, SchemaMismatchError) and self._pseudonyms:
            text = error.without_value
        text = sanitize_for_log(text)
        line = f"{self._leave_out(workspace_id, text)}: {text}"
        self.run.failures.setdefault((self.name, kind), line)
        if not self._pseudonyms:
            self.logger.debug("The stream has failed.", exc_info=error)

    def _leave_out(self, workspace_id: str | None, error: str) -> str:
        """Name what failed; log each workspace, because only the first one ends the run's log."""
        if workspace_id is None:
            return self.name
        self.warn("%s is left out: %s", workspace_id, error)
        return f"{self.name}: {workspace_id}"

    # -- messages

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Return False: the SDK would send them before the first record, see `lists`."""
        return False

    @override
    def _write_record_message(self, record: Row) -> None:
        # A private method of the SDK; there is no public one. With the SDK's method, a year of days
        # takes 2.5 s of CPU instead of 1.5 (make bench): for each record, it applies the selection,
        # the stream maps and several encoding steps. If these only remove columns, the record goes
        # directly to the writer.
        writer = self._fast_writer
        for name in self._left_out:
            del record[name]
        if writer is None:
            super()._write_record_message(record)
            return
        writer.write_record(self.name, record, self._stream_version)
        self.state_manager.is_flushed = False

    @override
    def _process_record(
        self,
        record: Row,
        child_context: Context | None = None,
        partition_context: Context | None = None,
    ) -> None:
        # A private method of the SDK. With the SDK's method, a year of days takes 1.67 s of CPU
        # instead of 1.5: it looks for child streams of each record. There are none, see `lists`.
        pass

    @override
    def get_record_counter(self, **kwargs: Any) -> Counter:
        counter = super().get_record_counter(**kwargs)
        return _RareCounter(counter.metric, counter.tags, counter.log_interval)

    def _select_write_path(self) -> None:
        """Use the fast writer unless stream maps, flattening or another writer are active."""
        writer = self._tap.message_writer
        (first, *others) = self.stream_maps
        plain = type(first) is SameRecordTransform and not first.flattening_enabled and not others
        self._fast_writer = writer if plain and isinstance(writer, BufferedWriter) else None
        # The catalogue may be from an older version and lack columns.
        catalogued = self.effective_schema.get("properties", {})
        self._left_out = [
            name
            for name in self.columns.names
            if name not in catalogued
            or (self._fast_writer is not None and not self.mask["properties", name])
        ]

    def flush(self) -> None:
        """Write the buffered records. Raises ``OSError``."""
        writer = self._tap.message_writer
        if isinstance(writer, BufferedWriter):
            writer.flush()


class _RareCounter(Counter):
    """A counter that checks the clock once per thousand counts."""

    @override
    def increment(self, value: int = 1) -> None:
        self.value += value
        if self.value % 1000 == 0 and self._ready_to_log():
            self._pop()


def _drop_duplicate_error(record: logging.LogRecord) -> bool:
    """Drop the SDK's message that a stream failed: `report_failures` logs it with the reason."""
    return not str(record.msg).startswith("An unhandled error occurred while syncing")
