"""The repository's files describe the settings exactly as the tap does."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from simulator.server import ADMIN_KEY
from tap_claude.config import FEDERATION_REQUIRED, SECRETS
from tap_claude.credentials import CREDENTIALS, FEDERATION
from tap_claude.tap import TapClaude
from tests.conftest import environment
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def about() -> dict[str, Any]:
    result = CliRunner().invoke(TapClaude.cli, ["--about", "--format=json"])
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def flat(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Name the settings as Meltano does: with dots where the SDK nests them."""
    for name, setting in schema["properties"].items():
        if setting.get("properties") and name != "stream_maps":
            yield from flat(setting, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", setting


ABOUT = about()
SETTINGS = dict(flat(ABOUT["settings"]))

# Settings of the SDK. They are left out where only the tap's own settings count.
BUILTIN: dict[str, Any] = {"properties": {}}
TapClaude.append_builtin_config(BUILTIN)
OWN = [
    name
    for name, setting in ABOUT["settings"]["properties"].items()
    if setting != BUILTIN["properties"].get(name)
]

MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text())
DEFINITIONS = {
    "meltano": MELTANO["plugins"]["extractors"][0],
    "hub": yaml.safe_load((ROOT / "hub" / "tap-claude.yml").read_text()),
}

each_definition = pytest.mark.parametrize(
    "definition", [pytest.param(definition, id=file) for file, definition in DEFINITIONS.items()]
)
released_sdk = pytest.mark.skipif(
    re.search("[a-z]", version("singer-sdk")) is not None,
    reason="what a pre-release of the SDK gives every tap is not settled",
)


def defined(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Return the plugin definition of a setting; of its options, only the values."""
    definition: dict[str, Any] = {
        "name": name,
        "label": setting["title"],
        "kind": kind(name, setting),
        "description": setting["description"],
    }
    if setting.get("secret"):
        definition["sensitive"] = True
    if "enum" in setting:
        definition["options"] = setting["enum"]
    if "default" in setting:
        definition["value"] = setting["default"]
    return definition


def kind(name: str, setting: dict[str, Any]) -> str:
    if setting.get("secret"):
        return "password"
    if "enum" in setting:
        return "options"
    if setting.get("format") == "date-time":
        return "date_iso8601"
    if "type" not in setting:  # a union, which Meltano does not have
        return "array" if name == "faker_config.locale" else "string"
    (json_type,) = (each for each in setting["type"] if each != "null")
    # Meltano 4.4 fails on a "decimal" from the environment: it cannot write it as JSON.
    return "integer" if json_type == "number" else str(json_type)


# -- meltano.yml and hub/tap-claude.yml


@each_definition
def test_definition_has_each_own_setting_once(definition: dict[str, Any]) -> None:
    names = [setting["name"] for setting in definition["settings"]]
    assert sorted(name for name in names if name in OWN) == sorted(OWN)


@released_sdk
@each_definition
def test_definition_has_each_setting_once(definition: dict[str, Any]) -> None:
    names = [setting["name"] for setting in definition["settings"]]
    assert sorted(names) == sorted(SETTINGS)


DECLARED = [
    (file, setting["name"], setting)
    for file, definition in DEFINITIONS.items()
    for setting in definition["settings"]
]


@each(("file", "name", "declared"), [case for case in DECLARED if case[1] in OWN])
def test_definition_describes_the_setting(file: str, name: str, declared: dict[str, Any]) -> None:
    assert_is_described(file, name, declared)


@released_sdk
@each(("file", "name", "declared"), [case for case in DECLARED if case[1] not in OWN])
def test_definition_describes_the_sdks_setting(
    file: str, name: str, declared: dict[str, Any]
) -> None:
    assert_is_described(file, name, declared)


def assert_is_described(file: str, name: str, declared: dict[str, Any]) -> None:
    if "options" in declared:
        assert all(option["label"] for option in declared["options"])
        declared = declared | {"options": [option["value"] for option in declared["options"]]}
    assert declared == defined(name, SETTINGS[name]), f"{file}: {name}"


@released_sdk
@each_definition
def test_definition_has_the_capabilities(definition: dict[str, Any]) -> None:
    assert sorted(definition["capabilities"]) == sorted(ABOUT["capabilities"])


@each_definition
def test_definition_requires_one_of_the_credentials(definition: dict[str, Any]) -> None:
    groups = [[*FEDERATION_REQUIRED] if name == FEDERATION else [name] for name in CREDENTIALS]
    assert sorted(definition["settings_group_validation"]) == sorted(groups)


@each_definition
def test_definition_selects_all_available_streams(definition: dict[str, Any]) -> None:
    assert definition.get("select", ["*.*"]) == ["*.*"]


@each_definition
def test_definition_names_the_tap(definition: dict[str, Any]) -> None:
    assert definition["name"] == definition["executable"] == ABOUT["name"]
    assert definition["namespace"] == ABOUT["name"].replace("-", "_")
    assert definition["description"] == ABOUT["description"]


@pytest.mark.slow
def test_meltano_test_reads_each_stream(simulate: Any, tmp_path: Path) -> None:
    """``meltano test tap-claude`` in a project that has the definition, and runs this checkout."""
    definition = DEFINITIONS["meltano"]
    assert definition["commands"] == DEFINITIONS["hub"]["commands"]
    simulator = simulate(days=3)
    executable = tmp_path / "tap-claude-of-this-checkout"
    executable.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tap_claude "$@"\n'
    )
    executable.chmod(0o755)
    names = ("name", "namespace", "commands", "capabilities", "settings")
    extractor = {name: definition[name] for name in names} | {"executable": str(executable)}
    project = {"project_id": "test", "plugins": {"extractors": [extractor]}}
    (tmp_path / "meltano.yml").write_text(yaml.safe_dump(project))
    done = subprocess.run(
        [Path(sys.executable).with_name("meltano"), "test", "--no-install", "tap-claude"],
        cwd=tmp_path,
        env=environment(
            MELTANO_CLI_DISABLE_VERSION_CHECK="true",
            MELTANO_SEND_ANONYMOUS_USAGE_STATS="false",
            TAP_CLAUDE_ADMIN_API_KEY=ADMIN_KEY,
            TAP_CLAUDE_BASE_URL=simulator.url,
            TAP_CLAUDE_REQUESTS_PER_MINUTE="0",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 test(s) successful" in done.stdout
    assert simulator.requests("usage_report/messages")


def test_hub_has_the_python_versions() -> None:
    assert DEFINITIONS["hub"]["supported_python_versions"] == ABOUT["supported_python_versions"]


def test_meltano_shows_legal_reports() -> None:
    text = (ROOT / "meltano.yml").read_text()
    lines = re.findall(r"^    # (config:|  .*)$", text, re.MULTILINE)
    config = yaml.safe_load("\n".join(lines))["config"]
    keys = {"admin_api_key": "sk-ant-admin01-x", "analytics_api_key": "sk-ant-api01-x"}
    tap = TapClaude(config={**keys, **config})
    assert {report["name"] for report in config["reports"]} <= tap.streams.keys()
    assert len(config["reports"]) > 1


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param(plugin, id=plugin["name"])
        for plugins in MELTANO["plugins"].values()
        for plugin in plugins
    ],
)
def test_meltano_knows_the_plugin_without_a_hub(plugin: dict[str, Any]) -> None:
    assert {"namespace", "pip_url", "executable"} <= plugin.keys()
    assert [setting["name"] for setting in plugin["settings"] if "kind" not in setting] == []
    assert plugin.get("config", {}).keys() <= {setting["name"] for setting in plugin["settings"]}


# -- pyproject.toml


def imported_packages() -> Iterator[str]:
    """Name the packages that the tap imports, without Python's own."""
    for path in (ROOT / "tap_claude").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                package = name.partition(".")[0]
                # jsonschema is imported for the type checker only.
                if package not in {*sys.stdlib_module_names, "tap_claude", "jsonschema"}:
                    yield package


def test_each_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    owners = packages_distributions()
    assert declared == {owners[package][0].replace("_", "-") for package in imported_packages()}


# -- .env.example

ENV = {
    match["name"].lower(): match
    for match in re.finditer(
        r"^# (?P<comment>.+)\n(?P<off># )?TAP_CLAUDE_(?P<name>\w+)=(?P<value>.*)$",
        (ROOT / ".env.example").read_text(),
        re.MULTILINE,
    )
}


def test_env_example_has_each_own_setting() -> None:
    assert list(ENV) == OWN


@each("name", OWN)
def test_env_example_describes_the_setting(name: str) -> None:
    assert ENV[name]["comment"] == SETTINGS[name]["description"]


@each("name", SECRETS)
def test_env_example_leaves_the_secret_empty(name: str) -> None:
    assert (ENV[name]["off"], ENV[name]["value"]) == (None, "")


@each("name", [name for name in OWN if "default" in SETTINGS[name]])
def test_env_example_gives_the_default(name: str) -> None:
    assert ENV[name]["value"] == str(SETTINGS[name]["default"])


@pytest.mark.parametrize("name", [name for name in OWN if name not in SECRETS])
def test_env_example_comments_out_a_legal_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ENV[name]["off"]
    # The settings of federation are legal together.
    together = (*FEDERATION_REQUIRED, "service_account_id")
    names = together if name in together else (name,)
    values = {f"TAP_CLAUDE_{n.upper()}": shlex.split(ENV[n]["value"])[0] for n in names}
    # A copy, because the SDK adds the variables of a .env file in a parent folder.
    monkeypatch.setattr(os, "environ", values)
    tap = TapClaude(config={"admin_api_key": "sk-ant-admin01-x"}, parse_env_config=True)
    assert name in tap.config


def test_the_dbt_package_has_each_table_and_column() -> None:
    """Its lists are those that transform/generate.py makes from the schemas."""
    generate = [sys.executable, "-m", "transform.generate", "--check"]
    done = subprocess.run(generate, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
