"""One list of organizations, and one run of Meltano for each of them.

This module needs PyYAML, and not Airflow. The DAG in `claude.py` calls it.
"""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TAP = "tap-claude"
SECRETS = (
    "admin_api_key",
    "analytics_api_key",
    "access_token",
    "workspace_api_key",
    "compliance_api_key",
)
FEDERATION = (
    "federation_rule_id",
    "federation_organization_id",
    "service_account_id",
    "identity_token_file",
)
ERROR = re.compile(r"\[error\s*\](.+)")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NOTHING_FOLLOWS = "echo 'Nothing follows the loads. Set after: in the list of organizations.'"


class ListError(ValueError):
    """The list of organizations is wrong. The message is one line, without values."""


class LoadError(RuntimeError):
    """A command failed. The message ends with the first error of its log."""


@dataclass(frozen=True)
class Organization:
    """An organization of the list."""

    name: str
    """Suffix of the state id."""
    label: str
    """Setting ``organization_label``."""
    schema: str
    """Schema of the database. Organizations can share one."""
    shared: bool
    """Whether the schema is the same for all organizations."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the tap, without secrets."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Name of the secret, by setting of the tap."""


@dataclass(frozen=True)
class OrganizationList:
    """The content of the file."""

    organizations: list[Organization]
    target: str
    after: str
    """Shell command that runs once, after the loads."""


def read_list(path: Path) -> OrganizationList:
    """Read the file and check it. Raises `ListError`."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        msg = f"{path}: {error.strerror}. Copy organizations.example.yaml and edit it"
        raise ListError(msg) from None
    except yaml.YAMLError as error:
        msg = f"{path}: not YAML: {' '.join(str(error).split())}"
        raise ListError(msg) from None
    _check_keys(str(path), content, ("target", "schema", "settings", "after", "organizations"))
    entries = content.get("organizations")
    if not isinstance(entries, list) or not entries:
        msg = f"{path}: organizations must be a list with at least one entry"
        raise ListError(msg)
    schema = content.get("schema") or "claude_{name}"
    common = content.get("settings") or {}
    organizations = [_organization(entry, schema, common) for entry in entries]
    for what in ("name", "label"):
        values = [getattr(organization, what) for organization in organizations]
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            msg = f"{what}: used more than once: {', '.join(repeated)}"
            raise ListError(msg)
    return OrganizationList(
        organizations,
        target=content.get("target") or "target-postgres",
        after=content.get("after") or NOTHING_FOLLOWS,
    )


def load(
    organization: Organization,
    target: str,
    secret: Callable[[str], str],
    project: Path,
    environ: Mapping[str, str],
) -> None:
    """Run the tap and the target for one organization. Raises `LoadError`.

    ``secret`` returns the secret of a name. ``project`` is the Meltano project, with its plugins
    installed. ``environ`` is the environment to run in, with the settings of the target.
    """
    with own_run_files(project) as folder:
        run(
            organization.name,
            [
                *(meltano(project), "run", "--no-install", TAP, target),
                *("--state-id-suffix", organization.name),
            ],
            cwd=project,
            environ={
                **environ,
                **variables(organization, target, secret),
                "MELTANO_SYS_DIR_ROOT": str(folder),
            },
        )


def variables(
    organization: Organization, target: str, secret: Callable[[str], str]
) -> dict[str, str]:
    """Return the environment variables of an organization.

    Credentials that it does not have are empty. Otherwise it would be read with those of the
    environment or of .env, which are another organization's.
    """
    settings = {
        **dict.fromkeys((*SECRETS, *FEDERATION), ""),
        "organization_label": organization.label,
        **organization.settings,
        **{setting: secret(name) for setting, name in organization.secrets.items()},
    }
    if organization.shared:
        # A run would mark the rows of the other organizations as deleted.
        settings["emit_activate_version_messages"] = "false"
    schema = f"{target.replace('-', '_')}_default_target_schema".upper()
    return {schema: organization.schema} | {
        f"TAP_CLAUDE_{setting.upper()}": str(value) for setting, value in settings.items()
    }


@contextlib.contextmanager
def own_run_files(project: Path) -> Iterator[Path]:
    """Yield a system folder for Meltano, in which only the run files are not the project's.

    Meltano keeps the configuration, the catalog and the state of a run in one folder per plugin.
    Parallel runs would overwrite each other's (https://github.com/meltano/meltano/issues/8763).
    """
    installed = project / ".meltano"
    with contextlib.suppress(OSError):  # a read-only project has its system database elsewhere
        (installed / "meltano.db").touch()
    with tempfile.TemporaryDirectory(prefix="meltano-") as name:
        folder = Path(name)
        for entry in installed.iterdir():
            if entry.name != "run":
                (folder / entry.name).symlink_to(entry.resolve())
        yield folder


def meltano(project: Path) -> str:
    """Return the ``meltano`` that installed the plugins, or else the one in PATH."""
    link = project / ".meltano" / "run" / "bin"
    return str(link) if link.exists() else "meltano"


def run(name: str, command: str | Sequence[str], cwd: Path, environ: Mapping[str, str]) -> None:
    """Run a command; print its output and what it took. A text is for the shell.

    Raises `LoadError`.
    """
    error, cpu = "", _cpu_seconds()
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environ,
        shell=isinstance(command, str),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                found = ERROR.search(line)
                if found and not error:  # what follows is only that others stop
                    error = " ".join(found[1].split())
        except BaseException:
            process.terminate()
            raise
    print(f"{name}: exit code {process.returncode}, {_cpu_seconds() - cpu:.1f} seconds of CPU")
    if process.returncode:
        msg = f"{name}: exit code {process.returncode}. {error}".strip()
        raise LoadError(msg)


def _cpu_seconds() -> float:
    """Return what the child processes that have ended took, and their children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _organization(entry: Any, schema: str, common: Mapping[str, Any]) -> Organization:
    place = f"organization {entry.get('name') if isinstance(entry, dict) else entry!r}"
    _check_keys(place, entry, ("name", "label", "settings", "secrets"))
    name = entry.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        msg = f"{place}: name must be up to 40 of a-z, 0-9 and _, and start with a letter"
        raise ListError(msg)
    settings = {**common, **(entry.get("settings") or {})}
    secrets = entry.get("secrets") or {}
    for setting, value in {**settings, **secrets}.items():
        if setting in settings and setting in SECRETS:
            msg = f"{place}: {setting} is a secret. Write its name under secrets"
            raise ListError(msg)
        if str(value).startswith("sk-ant-"):
            msg = f"{place}: {setting} has a secret. Store it elsewhere and write its name"
            raise ListError(msg)
    if unknown := sorted(secrets.keys() - {*SECRETS, "pseudonymize_key"}):
        msg = f"{place}: unknown under secrets: {', '.join(unknown)}"
        raise ListError(msg)
    if not secrets.keys() & set(SECRETS) and not settings.get("federation_rule_id"):
        msg = f"{place}: no credential. Set one of {', '.join(SECRETS)} or federation_rule_id"
        raise ListError(msg)
    return Organization(
        name=name,
        label=str(entry.get("label") or name),
        schema=schema.replace("{name}", name),
        shared="{name}" not in schema,
        settings=settings,
        secrets=secrets,
    )


def _check_keys(place: str, content: Any, known: Sequence[str]) -> None:
    if not isinstance(content, dict):
        msg = f"{place}: must be a mapping with the keys {', '.join(known)}"
        raise ListError(msg)
    if unknown := sorted(str(key) for key in content.keys() - set(known)):
        msg = f"{place}: unknown key: {', '.join(unknown)}. Known: {', '.join(known)}"
        raise ListError(msg)
