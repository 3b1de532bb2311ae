"""What the repository's files say about the settings, held to what the tap itself says."""

from __future__ import annotations

import json
import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from tap_claude.client import SECRETS
from tap_claude.tap import TapClaude

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


def about() -> dict[str, Any]:
    result = CliRunner().invoke(TapClaude.cli, ["--about", "--format=json"])
    return json.loads(result.stdout)


def flat(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Name the settings as Meltano does: with dots where the SDK nests them."""
    for name, setting in schema["properties"].items():
        if setting.get("properties") and name != "stream_maps":
            yield from flat(setting, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", setting


def meltano() -> dict[str, Any]:
    (tap,) = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]["extractors"]
    return tap


def hub() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "hub" / "tap-claude.yml").read_text())


ABOUT = about()
SETTINGS = dict(flat(ABOUT["settings"]))

# What the SDK adds to every tap, by itself.
BUILTIN: dict[str, Any] = {"properties": {}}
TapClaude.append_builtin_config(BUILTIN)
OWN = [name for name in ABOUT["settings"]["properties"] if name not in BUILTIN["properties"]]

DEFINITIONS = {"meltano.yml": meltano(), "hub/tap-claude.yml": hub()}

each_definition = pytest.mark.parametrize(
    "definition", [pytest.param(definition, id=name) for name, definition in DEFINITIONS.items()]
)
released_sdk = pytest.mark.skipif(
    re.search("[a-z]", version("singer-sdk")) is not None,
    reason="what a pre-release of the SDK adds is not settled",
)


def as_definition(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Say in the words of a plugin definition what a setting is; of options, only the values."""
    declared: dict[str, Any] = {
        "name": name,
        "label": setting["title"],
        "kind": kind(name, setting),
        "description": setting["description"],
    }
    if setting.get("secret"):
        declared["sensitive"] = True
    if "enum" in setting:
        declared["options"] = setting["enum"]
    if "default" in setting:
        declared["value"] = setting["default"]
    return declared


def kind(name: str, setting: dict[str, Any]) -> str:
    if setting.get("secret"):
        return "password"
    if "enum" in setting:
        return "options"
    if setting.get("format") == "date-time":
        return "date_iso8601"
    if "type" not in setting:  # the SDK takes a scalar or a list
        return "array" if name == "faker_config.locale" else "string"
    (json_type,) = (each for each in setting["type"] if each != "null")
    # Meltano 4 cannot pass a "decimal" on that comes from the environment.
    return "integer" if json_type == "number" else json_type


# -- meltano.yml and the Hub's definition


@each_definition
def test_definition_has_the_own_settings(definition: dict[str, Any]) -> None:
    names = [setting["name"] for setting in definition["settings"]]
    assert sorted(set(names) & set(OWN)) == sorted(OWN)
    assert len(set(names)) == len(names)


@released_sdk
@each_definition
def test_definition_has_no_other_settings_than_the_tap(definition: dict[str, Any]) -> None:
    assert {setting["name"] for setting in definition["settings"]} == set(SETTINGS)


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        pytest.param(
            setting,
            setting["name"],
            marks=[] if setting["name"] in OWN else released_sdk,
            id=f"{file}-{setting['name']}",
        )
        for file, definition in DEFINITIONS.items()
        for setting in definition["settings"]
    ],
)
def test_definition_describes_the_setting(declared: dict[str, Any], name: str) -> None:
    if "options" in declared:
        assert all(option["label"] for option in declared["options"])
        declared = declared | {"options": [option["value"] for option in declared["options"]]}
    assert declared == as_definition(name, SETTINGS[name])


@released_sdk
@each_definition
def test_definition_has_the_capabilities(definition: dict[str, Any]) -> None:
    assert sorted(definition["capabilities"]) == sorted(ABOUT["capabilities"])


@each_definition
def test_definition_asks_for_one_credential(definition: dict[str, Any]) -> None:
    assert sorted(definition["settings_group_validation"]) == sorted([name] for name in SECRETS)


@each_definition
def test_definition_is_of_this_tap(definition: dict[str, Any]) -> None:
    assert definition["name"] == definition["executable"] == ABOUT["name"]
    assert definition["namespace"] == TapClaude.__module__.partition(".")[0]
    assert definition["description"] == ABOUT["description"]


def test_hub_names_the_python_versions() -> None:
    assert hub()["supported_python_versions"] == ABOUT["supported_python_versions"]


def test_meltano_example_of_a_report_is_legal() -> None:
    (example,) = re.findall(r"# +- (\{.*\})", (ROOT / "meltano.yml").read_text())
    report = yaml.safe_load(example)
    tap = TapClaude(config={"admin_api_key": "sk-ant-admin01-x", "reports": [report]})
    assert report["name"] in tap.streams


@pytest.mark.parametrize("plugin_type", ["extractors", "loaders"])
def test_meltano_needs_no_hub(plugin_type: str) -> None:
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"][plugin_type]
    for plugin in plugins:
        assert {"namespace", "pip_url", "executable", "settings"} <= plugin.keys(), plugin["name"]
        assert all("kind" in setting for setting in plugin["settings"]), plugin["name"]


# -- .env.example

ENV_LINE = re.compile(r"^# (?P<comment>.+)\n(?P<off># )?TAP_CLAUDE_(?P<name>\w+)=(?P<value>.*)$", re.M)
ENV = [match.groupdict() for match in ENV_LINE.finditer((ROOT / ".env.example").read_text())]


def test_env_example_has_the_own_settings() -> None:
    assert [line["name"].lower() for line in ENV] == OWN


@pytest.mark.parametrize("line", [pytest.param(line, id=line["name"]) for line in ENV])
def test_env_example_describes_the_setting(line: dict[str, str]) -> None:
    setting = SETTINGS[line["name"].lower()]
    assert line["comment"] == setting["description"]
    if setting.get("secret"):
        assert (line["off"], line["value"]) == (None, "")
    else:
        assert line["off"]
        assert line["value"] == str(setting.get("default", line["value"]))
        assert line["value"]


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=line["name"]) for line in ENV if line["value"]]
)
def test_env_example_holds_a_legal_value(
    line: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (value,) = shlex.split(line["value"])
    monkeypatch.setenv("TAP_CLAUDE_ADMIN_API_KEY", "sk-ant-admin01-x")
    monkeypatch.setenv(f"TAP_CLAUDE_{line['name']}", value)
    tap = TapClaude(config={}, parse_env_config=True)
    assert line["name"].lower() in tap.config


# -- README.md


def readme_settings() -> dict[str, str]:
    """Return the default of each setting in the README's table."""
    _, _, section = (ROOT / "README.md").read_text().partition("\n## Settings\n")
    section, _, _ = section.partition("\n## ")
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]+)\|$", section, re.M)
    return {name: default.strip().strip("`") for name, default, _ in rows}


def test_readme_has_the_own_settings() -> None:
    assert list(readme_settings()) == OWN


@pytest.mark.parametrize("name", [name for name in OWN if "default" in SETTINGS[name]])
def test_readme_gives_the_default(name: str) -> None:
    assert readme_settings().get(name) == str(SETTINGS[name]["default"])


@pytest.mark.parametrize("name", SECRETS)
def test_readme_gives_no_default_of_a_secret(name: str) -> None:
    assert readme_settings().get(name) == ""
