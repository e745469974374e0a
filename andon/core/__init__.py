"""The shared bytes of Andon: records, codec, hashes, keys, proofs. Pure, no I/O."""
