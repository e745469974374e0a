"""Drivers: asyncio doors to the pure cores (consensus, ledger) and to sync and models."""
