"""The contract language: `engine` runs it, `library` holds standard contracts as text."""
