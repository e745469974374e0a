"""Read-only calls are paid for, client by client."""

from __future__ import annotations

import asyncio

import pytest

from andon.core.errors import Code, Unavailable
from node.drivers.dry_run import VIEW_GAS_MAX
from node.facade import CallAnswer
from node.gas_budget import GasBudgets, paid


def answer(gas: int) -> CallAnswer:
    return CallAnswer(ok=True, result=b"", gas_used=gas, failure=None, height=1)


async def call(budgets: GasBudgets, client: str, gas: int) -> CallAnswer:
    async def run() -> CallAnswer:
        await asyncio.sleep(0)
        return answer(gas)

    with budgets.of(client):
        return await paid(run)


async def test_who_spent_more_than_its_share_waits_and_others_do_not() -> None:
    budgets = GasBudgets(1000)
    await call(budgets, "a", 2000)
    await call(budgets, "a", 5000)
    with pytest.raises(Unavailable) as refused:
        await call(budgets, "a", 1)
    assert refused.value.code is Code.RATE_LIMITED
    assert 0 < int(str(refused.value.fields["retry_ms"])) <= 5000
    await call(budgets, "b", 1)


async def test_many_calls_at_once_cannot_all_begin_while_the_account_is_full() -> None:
    budgets = GasBudgets(10)
    found = await asyncio.gather(
        *(call(budgets, "a", VIEW_GAS_MAX) for _ in range(100)), return_exceptions=True
    )
    assert sum(isinstance(item, CallAnswer) for item in found) == 1


async def test_a_call_that_ends_early_is_charged_as_the_dearest() -> None:
    budgets = GasBudgets(VIEW_GAS_MAX // 2)

    async def fail() -> CallAnswer:
        raise Unavailable(Code.PREDICTION_MISSING, "ever new predictions")

    for _ in range(2):
        with budgets.of("a"), pytest.raises(Unavailable) as refused:
            await paid(fail)
        assert refused.value.code is Code.PREDICTION_MISSING
    with pytest.raises(Unavailable) as refused:
        await call(budgets, "a", 1)
    assert refused.value.code is Code.RATE_LIMITED


async def test_the_node_itself_pays_nothing_and_accounts_are_bounded() -> None:
    async def run() -> CallAnswer:
        return answer(10**12)

    for _ in range(3):
        assert (await paid(run)).ok
    budgets = GasBudgets(1, clients_max=2)
    for name in ("a", "b", "c"):
        await call(budgets, name, 100)
    await call(budgets, "a", 100)  # forgotten, and so as good as new
    with pytest.raises(Unavailable):
        await call(budgets, "c", 1)
