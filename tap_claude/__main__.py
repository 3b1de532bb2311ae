"""The command ``tap-claude``, also ``python -m tap_claude``."""

import gc


def main() -> None:
    """Run the tap's command line."""
    # What modules allocate stays: looking for cycles in it takes a tenth of the start.
    gc.disable()
    from tap_claude.tap import TapClaude  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    TapClaude.cli()


if __name__ == "__main__":
    main()
