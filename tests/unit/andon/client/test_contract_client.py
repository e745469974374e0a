"""Clients are made from descriptions that strangers wrote: nothing in them becomes code."""

from __future__ import annotations

import ast

import pytest

from andon.client.contract_client import contract_client, python_type
from andon.core.codec import Dec, Value
from andon.core.errors import InvalidInput
from contracts_py.engine import Engine
from contracts_py.library import names, source


def described(**changes: Value) -> dict:
    parameter = {"name": "a", "type": "int", "required": True, "default": None}
    method = {"name": "f", "kind": "export", "parameters": [{**parameter, **changes}], "roles": []}
    return {"code_hash": bytes(32), "methods": [method]}


@pytest.mark.parametrize("name", names())
def test_every_standard_contract_has_a_client(name: str) -> None:
    contract = Engine().check(source(name))
    tree = ast.parse(contract_client(name, contract.abi()))
    (made,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    methods = [node.name for node in made.body if isinstance(node, ast.FunctionDef)]
    wanted = [m.name for m in contract.methods.values() if m.kind in ("view", "export")]
    assert len(methods) == len(wanted) + 2


def test_types_are_written_as_python_has_them() -> None:
    assert python_type("dict[str, list[dec]]") == "dict[str, list[Dec]]"
    assert python_type("tuple[int, tuple[str, bytes]] | None") == (
        "tuple[int, tuple[str, bytes]] | None"
    )
    assert python_type("any | None") == "Value"


def test_defaults_become_literals() -> None:
    text = contract_client("c", described(required=False, default=("x", Dec(5)), type="tuple"))
    assert "a: tuple[Value, ...] = ('x', Dec(5), )" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a: int = __import__('os')"},
        {"name": "__class__"},
        {"type": "int); import os"},
        {"type": "list[os.system]"},
        {"type": 7},
        {"required": False, "default": [1]},
    ],
)
def test_what_is_no_description_is_refused(changes: dict[str, Value]) -> None:
    with pytest.raises(InvalidInput):
        contract_client("c", described(**changes))


def test_a_role_cannot_end_the_text_that_names_it() -> None:
    abi = described()
    abi["methods"][0]["roles"] = ['x"""\nimport os\n"""']
    tree = ast.parse(contract_client("c", abi))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
