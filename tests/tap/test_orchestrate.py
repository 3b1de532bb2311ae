"""The list of organizations, the run of one, and the Kubernetes manifests. No Airflow."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from orchestrate.dags import claude_load
from orchestrate.dags.claude_load import ListError, LoadError, Organization, read_list
from tap_claude.config import SECRETS
from tap_claude.tap import TapClaude
from tests.each import each

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "orchestrate" / "kubernetes"
EXAMPLE = ROOT / "orchestrate" / "organizations.example.yaml"
SECRET = "sk-ant-admin01-secret"

ACME = Organization(
    "acme", "Acme", "claude_acme", shared=False, secrets={"admin_api_key": "ACME_KEY"}
)
FEDERATED = Organization(
    "initech", "Initech", "claude_initech", shared=False, settings={"federation_rule_id": "fdrl_01"}
)


# -- the list


def write(folder: Path, **content: Any) -> Path:
    path = folder / "organizations.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def acme(**more: Any) -> dict[str, Any]:
    return {"name": "acme", "secrets": {"admin_api_key": "ACME_KEY"}, **more}


def test_the_example_is_a_list_whose_settings_the_tap_has() -> None:
    found = read_list(EXAMPLE)
    assert [each.schema for each in found.organizations] == [
        "claude_acme",
        "claude_globex",
        "claude_initech",
    ]
    known = {*TapClaude.config_jsonschema["properties"], *claude_load.FEDERATION}
    for organization in found.organizations:
        assert {*organization.settings, *organization.secrets} <= known
        assert organization.settings["start_date"]
    assert not {*claude_load.SECRETS} & {*claude_load.FEDERATION}
    assert {*SECRETS} <= {*claude_load.SECRETS, "pseudonymize_key"}


def test_settings_of_all_are_overridden_by_those_of_one(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        settings={"start_date": "2026-01-01", "lookback_days": 3},
        organizations=[acme(settings={"start_date": "2026-06-01"}), acme(name="b", label="B")],
    )
    first, second = read_list(path).organizations
    assert first.settings == {"start_date": "2026-06-01", "lookback_days": 3}
    assert second.settings == {"start_date": "2026-01-01", "lookback_days": 3}
    assert (first.label, second.label) == ("acme", "B")


@each(
    ("message", "content"),
    [
        ("organizations must be a list", {}),
        ("organizations must be a list", {"organizations": []}),
        ("unknown key: schemas", {"schemas": "x", "organizations": [acme()]}),
        ("organization 'acme': unknown key: key", {"organizations": [acme(key="x")]}),
        ("name must be up to 40", {"organizations": [acme(name="Acme Inc.")]}),
        ("name must be up to 40", {"organizations": [{"secrets": {"admin_api_key": "A"}}]}),
        ("organization 'acme': must be a mapping", {"organizations": ["acme"]}),
        ("name: used more than once: acme", {"organizations": [acme(), acme(label="x")]}),
        (
            "label: used more than once: acme",
            {"organizations": [acme(), acme(name="b", label="acme")]},
        ),
        ("no credential", {"organizations": [{"name": "acme"}]}),
        (
            "unknown under secrets: start_date",
            {"organizations": [acme(secrets={"start_date": "X"})]},
        ),
        (
            "admin_api_key is a secret. Write its name under secrets",
            {"organizations": [{"name": "acme", "settings": {"admin_api_key": SECRET}}]},
        ),
        (
            "admin_api_key has a secret. Store it elsewhere and write its name",
            {"organizations": [{"name": "acme", "secrets": {"admin_api_key": SECRET}}]},
        ),
    ],
)
def test_a_wrong_list_is_refused_in_one_line_without_values(
    tmp_path: Path, message: str, content: dict[str, Any]
) -> None:
    with pytest.raises(ListError) as error:
        read_list(write(tmp_path, **content))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)


def test_a_list_that_is_missing_or_not_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "organizations.yaml"
    with pytest.raises(ListError, match=r"No such file.*organizations\.example\.yaml"):
        read_list(path)
    path.write_text("organizations: [\n- a: b: c")
    with pytest.raises(ListError, match=r"^[^\n]*not YAML[^\n]*$"):
        read_list(path)


# -- the run of one organization


def test_an_organization_is_read_with_its_own_credentials_only() -> None:
    """A credential of the environment or of .env is another organization's."""
    found = claude_load.variables(FEDERATED, "target-postgres", dict[str, str]().__getitem__)
    assert found["TAP_CLAUDE_FEDERATION_RULE_ID"] == "fdrl_01"
    for setting in claude_load.SECRETS:
        assert found[f"TAP_CLAUDE_{setting.upper()}"] == ""
    found = claude_load.variables(ACME, "target-snowflake", {"ACME_KEY": SECRET}.__getitem__)
    assert found["TAP_CLAUDE_ADMIN_API_KEY"] == SECRET
    assert found["TAP_CLAUDE_FEDERATION_RULE_ID"] == ""
    assert found["TAP_CLAUDE_ORGANIZATION_LABEL"] == "Acme"
    assert found["TARGET_SNOWFLAKE_DEFAULT_TARGET_SCHEMA"] == "claude_acme"


def test_a_shared_schema_switches_activate_version_off(tmp_path: Path) -> None:
    path = write(tmp_path, schema="claude", organizations=[acme(), acme(name="b")])
    for organization in read_list(path).organizations:
        found = claude_load.variables(organization, "target-postgres", {"ACME_KEY": "k"}.get)  # type: ignore[arg-type]
        assert found["TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA"] == "claude"
        assert found["TAP_CLAUDE_EMIT_ACTIVATE_VERSION_MESSAGES"] == "false"
    own = claude_load.variables(ACME, "target-postgres", {"ACME_KEY": "k"}.__getitem__)
    assert "TAP_CLAUDE_EMIT_ACTIVATE_VERSION_MESSAGES" not in own


# It prints what it was given, writes a run file, and fails if it finds one.
MELTANO = f"""#!{sys.executable}
import os, pathlib, sys
folder = pathlib.Path(os.environ["MELTANO_SYS_DIR_ROOT"])
run = folder / "run" / "tap-claude"
run.mkdir(parents=True)
(run / "tap.config.json").write_text(os.environ["TAP_CLAUDE_ADMIN_API_KEY"])
print(sys.argv[1:], sorted(path.name for path in folder.iterdir()))
print((folder / "extractors" / "tap-claude").resolve())
if os.environ.get("FAIL"):
    print("2026 [error    ] tap-claude   messages_usage: HTTP 401")
    print("2026 [error    ] meltano      Block run completed")
    sys.exit(3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a Meltano project that has plugins, files of another run, and a meltano to watch."""
    system = tmp_path / "project" / ".meltano"
    for folder in ("extractors/tap-claude", "loaders", "run/tap-claude"):
        (system / folder).mkdir(parents=True)
    (system / "run" / "tap-claude" / "tap.config.json").write_text("of another run")
    executable = system / "run" / "bin"
    executable.write_text(MELTANO)
    executable.chmod(0o755)
    return tmp_path / "project"


def load(project: Path, **environ: str) -> None:
    secrets = {"ACME_KEY": SECRET}
    claude_load.load(ACME, "target-postgres", secrets.__getitem__, project, environ)


def test_a_run_shares_all_but_the_run_files_with_the_project(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Meltano issue 8763: parallel runs would overwrite each other's run files."""
    load(project)
    arguments, plugin, took = capfd.readouterr().out.splitlines()
    assert arguments == (
        "['run', '--no-install', 'tap-claude', 'target-postgres', '--state-id-suffix', 'acme']"
        " ['extractors', 'loaders', 'meltano.db', 'run']"
    )
    assert plugin == str(project / ".meltano" / "extractors" / "tap-claude")
    assert took.startswith("acme: exit code 0, ")
    config = project / ".meltano" / "run" / "tap-claude" / "tap.config.json"
    assert config.read_text() == "of another run"


def test_a_failed_run_is_an_error_with_the_first_error_of_the_log(project: Path) -> None:
    reason = r"^acme: exit code 3\. tap-claude messages_usage: HTTP 401$"
    with pytest.raises(LoadError, match=reason):
        load(project, FAIL="1")


def test_the_run_files_and_their_secrets_are_deleted(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with pytest.raises(LoadError):
        load(project, FAIL="1")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_shell_command_can_follow(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    claude_load.run("after", read_list(EXAMPLE).after, tmp_path, {})
    assert "Nothing follows the loads" in capfd.readouterr().out
    with pytest.raises(LoadError, match="after: exit code 4"):
        claude_load.run("after", "true && exit 4", tmp_path, {})


# -- docs/scale.md


def numbers(head: str) -> list[list[float]]:
    """Return the numbers of a table's rows; units are dropped."""
    page = (ROOT / "docs" / "scale.md").read_text()
    lines = page.partition(head)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [re.findall(r"\| +([\d.,]+)", line) for line in lines]
    return [[float(cell.replace(",", "")) for cell in row] for row in cells]


def test_the_page_extrapolates_from_what_it_says_is_measured() -> None:
    measured = numbers("| organization | run |")
    requests, minutes, rows, _, cpu, _ = measured[1]
    assert [row[1] for row in measured] == [
        pytest.approx((row[0] - 10) / 50, abs=0.051) for row in measured
    ]
    for many, *found in numbers("| organizations | requests |"):
        at_a_time = found[3]
        hours = many * minutes / 60 / at_a_time
        cpu_hours = many * (10 + cpu) / 3600
        assert found[:2] == [many * requests, many * rows]
        assert found[2] == pytest.approx(cpu_hours, rel=0.1)
        assert found[4] == pytest.approx(hours, rel=0.1)
        assert found[5:] == [320 * at_a_time, 10 * at_a_time]
    for many, at_a_time, *_, console, enterprise in numbers("| organizations | N |"):
        for hours, first in ((console, measured[0]), (enterprise, measured[2])):
            assert hours == pytest.approx(many * first[1] / 60 / at_a_time, rel=0.05)


# -- Kubernetes


def rendered(name: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / name], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))


def container(resources: list[dict[str, Any]]) -> dict[str, Any]:
    (job,) = (each for each in resources if each["kind"] == "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    (account,) = (each for each in resources if each["kind"] == "ServiceAccount")
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    (found,) = pod["containers"]
    security = found["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    mounted = {mount["name"] for mount in found["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    return {**found, "volumes": pod["volumes"]}


def test_the_template_is_valid_kubernetes() -> None:
    for name in ("cronjob", "service_account"):
        resource = yaml.safe_load((KUBERNETES / "base" / f"{name}.yaml").read_text())
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    resource["metadata"]["title"] = "unknown"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl builds the manifests")
def test_an_organization_is_an_overlay_of_the_template() -> None:
    names = sorted(path.name for path in KUBERNETES.iterdir() if path.name != "base")
    for name in names:
        resources = rendered(name)
        for resource in resources:
            version = kubernetes_validate.latest_version()
            kubernetes_validate.validate(resource, version, strict=True)
            assert name in resource["metadata"]["name"]
        found = container(resources)
        (settings,) = (each["data"] for each in resources if each["kind"] == "ConfigMap")
        assert settings["MELTANO_RUN_STATE_ID_SUFFIX"] == name
        assert settings["TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA"] == f"claude_{name}"
        sources = [
            source
            for volume in found["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
        ]
        secrets = [each["secretRef"]["name"] for each in found["envFrom"] if "secretRef" in each]
        if "TAP_CLAUDE_FEDERATION_RULE_ID" in settings:
            (token,) = (source["serviceAccountToken"] for source in sources)
            assert token["audience"] == "https://api.anthropic.com"
            assert secrets == ["tap-claude-warehouse"]
            (path,) = (e["value"] for e in found["env"] if e["name"].endswith("TOKEN_FILE"))
            (mount,) = (m["mountPath"] for m in found["volumeMounts"] if m["name"] == "identity")
            assert path == f"{mount}/{token['path']}"
        else:
            assert sources == []
            assert secrets == ["tap-claude-warehouse", f"tap-claude-{name}"]
    assert len(names) > 1
