"""Empty: what is called here is missing, and the call fails loudly."""
