"""The ledger: what a block does to the state, and whether it may. Pure."""

from consensus.ledger.adoption import adopt_block
from consensus.ledger.block import (
    Parent,
    Turn,
    build_block,
    check_and_execute_block,
    check_block,
    leader_key,
    parent_of,
)
from consensus.ledger.cut import check_chunk, check_top, cut_depth, sort_chunk, top_nodes
from consensus.ledger.execution import (
    BlockExecution,
    Environment,
    Executed,
    check_limits,
    execute_transactions,
    intrinsic_gas,
)
from consensus.ledger.flat import FlatState
from consensus.ledger.genesis import GenesisState, genesis_state
from consensus.ledger.memory import MemoryState
from consensus.ledger.overlay import Overlay
from consensus.ledger.ports import (
    Context,
    Description,
    Engine,
    Host,
    Mode,
    Outcome,
    Prediction,
    PredictionFailed,
    PredictionSource,
    PredictionUnavailable,
    Schedule,
    StateReader,
)
from consensus.ledger.showing import Write, writes_of_last
from consensus.ledger.tree import state_proof, tree_root, update_tree
from consensus.ledger.upgrades import protocol_at

__all__ = [
    "BlockExecution",
    "Context",
    "Description",
    "Engine",
    "Environment",
    "Executed",
    "FlatState",
    "GenesisState",
    "Host",
    "MemoryState",
    "Mode",
    "Outcome",
    "Overlay",
    "Parent",
    "Prediction",
    "PredictionFailed",
    "PredictionSource",
    "PredictionUnavailable",
    "Schedule",
    "StateReader",
    "Turn",
    "Write",
    "adopt_block",
    "build_block",
    "check_and_execute_block",
    "check_block",
    "check_chunk",
    "check_limits",
    "check_top",
    "cut_depth",
    "execute_transactions",
    "genesis_state",
    "intrinsic_gas",
    "leader_key",
    "parent_of",
    "protocol_at",
    "sort_chunk",
    "state_proof",
    "top_nodes",
    "tree_root",
    "update_tree",
    "writes_of_last",
]
