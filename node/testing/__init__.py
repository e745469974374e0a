"""Test instruments of the node: simulator, fakes, chaos tools; the node itself imports none."""
