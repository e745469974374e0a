"""Accounts and allowances: quotas and rewards in whole units, issued by one role."""
name = Var(str)
supply = Var(int, default=0)
balances = Map(key=bytes, value=int, default=0)
allowances = Map(key=(bytes, bytes), value=int, default=0)
Transferred = Event(source=bytes, target=bytes, amount=int, indexed=("source", "target"))
Approved = Event(owner=bytes, spender=bytes, amount=int, indexed=("owner",))
Issued = Event(target=bytes, amount=int, indexed=("target",))
Burned = Event(source=bytes, amount=int, indexed=("source",))

SUPPLY_MAX = 0xffffffffffffffffffffffffffffffff


@init
def setup(title: str):
    assert 0 < len(title) <= 64, "a token has a name of 1 to 64 characters"
    name.set(title)


def check_account(account: bytes):
    assert len(account) == 32, "an account is a key of 32 bytes"


def move(source: bytes, target: bytes, amount: int):
    check_account(target)
    assert amount > 0, "amount is positive"
    held = balances[source]
    assert held >= amount, "balance is too small"
    # The source is written before the target is read: a transfer to oneself changes nothing.
    balances[source] = held - amount
    balances[target] += amount
    Transferred(source=source, target=target, amount=amount)


@export(role="issuer")
def issue(target: bytes, amount: int):
    """Issuers create units."""
    check_account(target)
    assert amount > 0, "amount is positive"
    total = supply.get() + amount
    assert total <= SUPPLY_MAX, "supply is bounded"
    supply.set(total)
    balances[target] += amount
    Issued(target=target, amount=amount)


@export
def burn(amount: int):
    """Anyone destroys own units."""
    held = balances[ctx.sender]
    assert 0 < amount <= held, "amount is positive and at most the balance"
    balances[ctx.sender] = held - amount
    supply.set(supply.get() - amount)
    Burned(source=ctx.sender, amount=amount)


@export
def transfer(target: bytes, amount: int):
    """Anyone moves own units."""
    move(ctx.sender, target, amount)


@export
def approve(spender: bytes, amount: int):
    """Anyone lets a spender move up to `amount` of own units; 0 takes it back."""
    check_account(spender)
    assert amount >= 0, "amount is not negative"
    allowances[ctx.sender, spender] = amount
    Approved(owner=ctx.sender, spender=spender, amount=amount)


@export
def transfer_from(owner: bytes, target: bytes, amount: int):
    """A spender moves units of an owner within the allowance."""
    allowed = allowances[owner, ctx.sender]
    assert amount <= allowed, "allowance is too small"
    allowances[owner, ctx.sender] = allowed - amount
    move(owner, target, amount)


@view
def balance_of(account: bytes) -> int:
    return balances[account]


@view
def allowance(owner: bytes, spender: bytes) -> int:
    return allowances[owner, spender]


@view
def total() -> int:
    return supply.get()
