"""``python -m tap_claude``."""

from tap_claude.tap import TapClaude

TapClaude.cli()
