"""What a person changes about the networks of any recipe, from the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads these before JAX is loaded
    from models.train.fit import FitConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Empty values leave what the recipe says."""

    epochs: int = 0
    precision: str = ""
    patience: int = 0
    """Epochs without a better loss on a tenth of the training rows, which is then held out."""
    checkpoints: Path | None = None
    """A folder: a run that was killed goes on from what lies there."""

    def applied(self, config: FitConfig) -> FitConfig:
        """The recipe's hyperparameters with these in their place."""
        return replace(
            config,
            epochs=self.epochs or config.epochs,
            precision=self.precision or config.precision,
            patience=self.patience or config.patience,
        )


PLAIN = Settings()
