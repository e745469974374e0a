"""The `andon` command: verbs load lazily, data goes to stdout, diagnostics to stderr."""
