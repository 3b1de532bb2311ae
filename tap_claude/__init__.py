"""Singer tap for Claude usage and cost (Anthropic's Admin API and Usage and Cost Analytics API)."""
