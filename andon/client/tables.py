"""Predictions as tables for analysis: Arrow and pandas (`pip install andon[tables]`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from andon.client.results import Prediction
from andon.core.errors import Code, Misuse

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def predictions_table(predictions: Iterable[Prediction], scale: float = 1.0) -> pa.Table:
    """One row a prediction; `output` is as voted, `value` its first number times `scale`.

    A model's scale is `scale_num / scale_den` of its registry entry.

    Raises:
        Misuse: BAD_CONFIG if pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra that few need
    except ImportError:
        raise Misuse(
            Code.BAD_CONFIG, "tables need pyarrow", hint="pip install 'andon[tables]'"
        ) from None
    found = list(predictions)
    columns = {
        "id": pa.array([item.id.hex() for item in found], pa.string()),
        "height": pa.array([item.height for item in found], pa.uint64()),
        "time": pa.array([item.time_ms for item in found], pa.timestamp("ms", tz="UTC")),
        "contract": pa.array([item.contract for item in found], pa.string()),
        "model": pa.array([item.model_id.hex() for item in found], pa.string()),
        "input_digest": pa.array([item.input_digest.hex() for item in found], pa.string()),
        "output": pa.array([list(item.output) for item in found], pa.list_(pa.int64())),
        "value": pa.array([item.output[0] * scale for item in found], pa.float64()),
        "kind": pa.array([item.kind for item in found], pa.string()),
        "votes": pa.array([item.votes for item in found], pa.uint32()),
        "validators": pa.array([item.validators for item in found], pa.uint32()),
        "transaction": pa.array([item.transaction_id.hex() for item in found], pa.string()),
    }
    return pa.table(columns)


def predictions_frame(predictions: Iterable[Prediction], scale: float = 1.0) -> pd.DataFrame:
    """The same as a pandas frame, indexed by time.

    Raises:
        Misuse: BAD_CONFIG if pyarrow or pandas is not installed.
    """
    table = predictions_table(predictions, scale)
    try:
        return table.to_pandas().set_index("time")
    except ImportError:
        raise Misuse(
            Code.BAD_CONFIG, "frames need pandas", hint="pip install 'andon[tables]'"
        ) from None
