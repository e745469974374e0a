"""Pure agreement: bft (what is final) and ledger (what a block does)."""
