"""One JSON Schema file per stream; the file is named like the stream."""
