"""Float models for attested predictions: a closed graph language, its executor, packages.

Nothing here is exact: committees compare outputs within a tolerance (docs/protocol.md, A1 to A9).
"""
