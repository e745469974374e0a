"""The asyncio shell of a validator: network, workers, storage, drivers, RPC."""
