"""The transfer and the loop of `bench_contract_peers` in py-evm, called as messages.

The bytecode is assembled here: selector, checks, two balances under keccak256(account, 0), an
event, a result. No transaction, signature, root of state or receipt is around it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

SELECTOR = bytes.fromhex("a9059cbb")
LOOP = bytes.fromhex("00000001")
TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ALICE, BOB, TOKEN = b"\xaa" * 20, b"\xbb" * 20, b"\xcc" * 20
OPCODES = {
    "ADD": 0x01, "MUL": 0x02, "SUB": 0x03, "MOD": 0x06, "LT": 0x10, "EQ": 0x14, "ISZERO": 0x15,
    "SHR": 0x1C, "SHA3": 0x20, "CALLER": 0x33, "CALLDATALOAD": 0x35, "POP": 0x50, "MSTORE": 0x52,
    "SLOAD": 0x54, "SSTORE": 0x55, "JUMP": 0x56, "JUMPI": 0x57, "JUMPDEST": 0x5B, "DUP1": 0x80,
    "DUP2": 0x81, "DUP3": 0x82, "DUP4": 0x83, "SWAP1": 0x90, "LOG3": 0xA3, "RETURN": 0xF3,
    "REVERT": 0xFD,
}  # fmt: skip
PROGRAM = f"""
0 CALLDATALOAD e0 SHR a9059cbb EQ @transfer JUMPI
04 CALLDATALOAD 0 0
:head DUP3 DUP2 LT ISZERO @end JUMPI
SWAP1 1f MUL DUP2 ADD 0f4243 SWAP1 MOD SWAP1 1 ADD @head JUMP
:end POP 0 MSTORE 20 0 RETURN
:transfer 24 CALLDATALOAD DUP1 ISZERO @fail JUMPI
CALLER 0 MSTORE 0 20 MSTORE 40 0 SHA3
DUP1 SLOAD DUP3 DUP2 LT @fail JUMPI
DUP3 SWAP1 SUB SWAP1 SSTORE
04 CALLDATALOAD DUP1 CALLER EQ @fail JUMPI
DUP1 0 MSTORE 40 0 SHA3 DUP1 SLOAD DUP4 ADD SWAP1 SSTORE
DUP2 0 MSTORE CALLER {TOPIC} 20 0 LOG3
1 0 MSTORE 20 0 RETURN
:fail 0 0 REVERT
"""
GAS = 100_000_000
SUPPLY = 10**12
TURNS = 300


def assemble(program: str) -> bytes:
    """Give the bytecode: names, hexadecimal pushes, `:label` and `@label`."""
    code, labels, uses = bytearray(), dict[str, int](), list[tuple[int, str]]()
    for word in program.split():
        if word[0] == ":":
            labels[word[1:]] = len(code)
            code.append(OPCODES["JUMPDEST"])
        elif word[0] == "@":
            uses.append((len(code) + 1, word[1:]))
            code += b"\x60\x00"
        elif word in OPCODES:
            code.append(OPCODES[word])
        else:
            value = bytes.fromhex(word if len(word) % 2 == 0 else "0" + word)
            code += bytes((0x5F + len(value),)) + value
    for place, label in uses:
        code[place] = labels[label]
    return bytes(code)


def evm() -> tuple[Callable[[], object], Callable[[], object], str]:
    """Give a transfer, a loop of TURNS, and how they are metered. Raises ImportError."""
    chains = importlib.import_module("eth.chains.base")
    forks = importlib.import_module("eth.vm.forks.london")
    database = importlib.import_module("eth.db.atomic")
    keccak = importlib.import_module("eth_hash.auto").keccak
    kind = chains.MiningChain.configure(
        __name__="Bench", vm_configuration=((0, forks.LondonVM),), chain_id=1
    )
    genesis = {"difficulty": 1, "gas_limit": GAS, "timestamp": 1, "base_fee_per_gas": 0}
    machine = kind.from_genesis(database.AtomicDB(), genesis).get_vm()
    code, slot = (
        assemble(PROGRAM),
        int.from_bytes(keccak(ALICE.rjust(32, b"\0") + bytes(32)), "big"),
    )
    machine.state.set_code(TOKEN, code)
    machine.state.set_storage(TOKEN, slot, SUPPLY)

    def call(data: bytes) -> int:
        done = machine.execute_bytecode(
            origin=ALICE, gas_price=0, gas=GAS, to=TOKEN, sender=ALICE, value=0, data=data,
            code=code,
        )  # fmt: skip
        done.raise_if_error()
        return int.from_bytes(done.output, "big")

    transfer = SELECTOR + BOB.rjust(32, b"\0") + (1).to_bytes(32, "big")
    loop = LOOP + TURNS.to_bytes(32, "big")
    assert call(transfer) == 1, "the transfer returns true"
    assert machine.state.get_storage(TOKEN, slot) == SUPPLY - 1, "the transfer moved one"
    return lambda: call(transfer), lambda: call(loop), "gas of the EVM, exact"
