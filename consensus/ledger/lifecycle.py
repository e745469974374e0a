"""The contract `contracts`: who may put which source under a name, replace, pause and resume it.

The policy stands in the state of `identity`, where organisations vote on it: `deploy_roles` may
deploy, and with `deploy_percent` above 0 more than that share of the active organisations has to
approve a definition first. A definition is a name, the hash of the source and the arguments of
@init, so an organisation approves exactly what it has read. Contracts of the genesis belong to
nobody: an upgrade of these needs the share by which `identity` itself decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.hashing import DIGEST_BYTES, Domain, digest
from andon.core.state_key import is_name, state_key, state_prefix
from andon.core.transaction import Call
from consensus.ledger.directory import IDENTITY, text_map
from consensus.ledger.host import CONTRACTS, LedgerHost
from consensus.ledger.native_call import NativeCall, Refused
from consensus.ledger.ports import Description, Mode, Outcome
from consensus.ledger.registry import PREDICTIONS
from consensus.ledger.schedule import write_schedule

RESERVED = frozenset({CONTRACTS, "evidence", "params"})
DEPLOY_ROLES = ("deployer", "admin")
ORGANISATIONS_MAX = 256
POLICY_KEY = state_key(IDENTITY, "policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What `identity` says about deployments; 0 percent asks for no approvals."""

    roles: tuple[str, ...]
    deploy_percent: int
    approval_percent: int


def read_policy(host: LedgerHost) -> Policy:
    """Give the policy in force; what has another shape gives no rights beyond the default."""
    raw = host.read(POLICY_KEY)
    found = {} if raw is None else text_map(decode_value(raw))
    listed = found.get("deploy_roles")
    roles = tuple(item for item in listed if isinstance(item, str)) if (
        isinstance(listed, list)
    ) else DEPLOY_ROLES  # fmt: skip
    return Policy(
        roles=roles,
        deploy_percent=_percent(found.get("deploy_percent"), 0),
        approval_percent=_percent(found.get("approval_percent"), 50),
    )


def approve(native: NativeCall) -> Outcome:
    """Agree to a definition for one's organisation; arguments name, source_hash, args."""
    native.require("name", "source_hash", "args")
    name, hashed = _name(native), native.arguments["source_hash"]
    if not isinstance(hashed, bytes) or len(hashed) != DIGEST_BYTES:
        raise Refused("E_ARGS", f"source_hash has {DIGEST_BYTES} bytes")
    _require_role(native, read_policy(native.host))
    organisation = native.host.organisation(native.context.sender)
    place = _approvals_key(name, hashed, native.table("args"))
    known = approving(native.host, place)
    if organisation in known:
        raise Refused("E_EXISTS", f"{organisation} has approved this definition already")
    listed: Value = [*known, organisation]
    native.host.write(place, encode_value(listed))
    _emit(native, "approved", {"name": name, "source_hash": hashed, "org": organisation})
    return native.done(len(known) + 1)


def deploy(native: NativeCall) -> Outcome:
    """Put a checked source under a free name and run its @init; arguments name, source, args."""
    native.require("name", "source", "args")
    name, source, args = _name(native), native.text("source").encode(), native.table("args")
    policy = read_policy(native.host)
    _require_role(native, policy)
    if name == PREDICTIONS:
        # The ledger records what `predictions` announces: only a genesis brings that contract.
        raise Refused("E_ARGS", "this contract comes with the genesis")
    if native.host.source(name) is not None:
        raise Refused("E_EXISTS", f"contract {name} exists; change it with upgrade")
    _require_approvals(native, name, source, args, policy.deploy_percent)
    owner = native.host.organisation(native.context.sender)
    _publish(native, name, source, version=1, owner=owner)
    return _enter(native, name, encode_value(native.arguments["args"]), Mode.INIT)


def upgrade(native: NativeCall) -> Outcome:
    """Replace a source and run its @migrate; arguments name, source; gives the new version."""
    native.require("name", "source")
    name, source = _name(native), native.text("source").encode()
    policy = read_policy(native.host)
    _require_role(native, policy)
    if native.host.source(name) is None:
        raise Refused("E_CONTRACT", f"no contract {name} exists")
    meta = read_meta(native.host, name)
    owner = meta.get("organisation") if meta else ""
    share = policy.deploy_percent
    if not owner:
        share = max(share, policy.approval_percent)
    elif owner != native.host.organisation(native.context.sender):
        raise Refused("E_ROLE", f"contract {name} belongs to another organisation")
    _require_approvals(native, name, source, {}, share)
    version = meta.get("version")
    number = version + 1 if isinstance(version, int) else 2
    _publish(native, name, source, version=number, owner=str(owner))
    outcome = _enter(native, name, encode_value({}), Mode.MIGRATE)
    if not outcome.ok:
        return outcome
    return Outcome(ok=True, result=encode_value(number), gas_used=outcome.gas_used, failure=None)


def pause(native: NativeCall) -> Outcome:
    """Let only views of the contract be entered until it is resumed; argument name."""
    return _set_paused(native, is_paused=True)


def resume(native: NativeCall) -> Outcome:
    """Let the contract be entered again; argument name."""
    return _set_paused(native, is_paused=False)


def read_meta(host: LedgerHost, name: str) -> dict[str, Value]:
    """Give what is on record about a deployment; nothing for a contract of the genesis."""
    raw = host.read(state_key(CONTRACTS, "meta", name))
    return {} if raw is None else text_map(decode_value(raw))


def write_contract(host: LedgerHost, name: str, source: bytes, described: Description) -> None:
    """Put a checked source under a name with its description and its schedule."""
    host.write(state_key(CONTRACTS, "source", name), encode_value(source))
    if described.abi:
        host.write(state_key(CONTRACTS, "abi", name), described.abi)
    write_schedule(host, name, described.scheduled)
    host.forget_sources()


def _set_paused(native: NativeCall, *, is_paused: bool) -> Outcome:
    native.require("name")
    name, host = _name(native), native.host
    _require_role(native, read_policy(host))
    owner = read_meta(host, name).get("organisation")
    if not owner or owner != host.organisation(native.context.sender):
        raise Refused("E_ROLE", f"only the organisation that deployed {name} pauses it")
    if host.is_paused(name) is is_paused:
        raise Refused("E_EXISTS", f"contract {name} is {'paused' if is_paused else 'not paused'}")
    host.write(state_key(CONTRACTS, "paused", name), encode_value(True) if is_paused else None)  # noqa: FBT003 - a value
    host.forget_sources()
    _emit(native, "paused" if is_paused else "resumed", {"name": name})
    return native.done(None)


def _publish(native: NativeCall, name: str, source: bytes, *, version: int, owner: str) -> None:
    try:
        described = native.engine.check(source)
    except InvalidInput as error:
        line = error.fields.get("line")
        number = line if isinstance(line, int) and line >= 0 else 0
        raise Refused("E_REFUSED", str(error), number) from None
    write_contract(native.host, name, source, described)
    hashed = digest(Domain.SOURCE, source)
    meta: Value = {
        "digest": hashed,
        "height": native.context.height,
        "organisation": owner,
        "deployer": native.context.sender,
        "version": version,
    }
    native.host.write(state_key(CONTRACTS, "meta", name), encode_value(meta))
    _emit(native, "deployed", {"name": name, "source_hash": hashed, "version": version})


def _enter(native: NativeCall, name: str, args: bytes, mode: Mode) -> Outcome:
    """Run the contract's own part of a deployment; the price of the native part is added."""
    call = Call(contract=name, method="", args=args)
    outcome = native.engine.execute(
        native.host, native.context, call, native.gas_limit - native.gas, mode=mode
    )
    return Outcome(
        ok=outcome.ok,
        result=outcome.result,
        gas_used=outcome.gas_used + native.gas,
        failure=outcome.failure,
    )


def _require_role(native: NativeCall, policy: Policy) -> None:
    if not any(native.host.has_role(native.context.sender, role) for role in policy.roles):
        raise Refused("E_ROLE", f"deployment needs one of the roles {', '.join(policy.roles)}")


def _require_approvals(
    native: NativeCall, name: str, source: bytes, args: dict[str, Value], share_percent: int
) -> None:
    """The sender's own organisation counts; approvals are spent by the deployment."""
    if share_percent == 0 or native.is_rehearsal:
        return
    host = native.host
    place = _approvals_key(name, digest(Domain.SOURCE, source), args)
    known = approving(host, place)
    own = host.organisation(native.context.sender)
    active = active_organisations(host)
    count = len([name for name in active if name in known or name == own])
    if count * 100 <= len(active) * share_percent:
        raise Refused(
            "E_APPROVALS",
            f"{count} of {len(active)} organisations approve this definition of {name}, "
            f"more than {share_percent} percent have to",
        )
    if known:
        host.write(place, None)


def _approvals_key(name: str, source_hash: bytes, args: dict[str, Value]) -> bytes:
    definition = digest(Domain.SOURCE, source_hash + encode_value(dict(args.items())))
    return state_key(CONTRACTS, "approvals", (name, bytes(definition)))


def approving(host: LedgerHost, place: bytes) -> list[str]:
    """Names of the organisations that have approved what stands for `place`."""
    raw = host.read(place)
    value = None if raw is None else decode_value(raw)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def active_organisations(host: LedgerHost) -> list[str]:
    """Names of the organisations that have a voice."""
    entries = host.iterate(state_prefix(IDENTITY, "organisations"), None, ORGANISATIONS_MAX)
    found = [text_map(decode_value(raw)) for _, raw in entries]
    return [str(entry.get("name")) for entry in found if entry.get("active") is True]


def _name(native: NativeCall) -> str:
    name = native.arguments["name"]
    if not isinstance(name, str) or not is_name(name) or name in RESERVED:
        raise Refused("E_ARGS", "a contract name is [a-z][a-z0-9_]{0,31} and not reserved")
    return name


def _percent(value: Value, default: int) -> int:
    return value if type(value) is int and 0 <= value < 100 else default


def _emit(native: NativeCall, event: str, fields: dict[str, Value]) -> None:
    native.host.emit(CONTRACTS, event, encode_value(dict(fields.items())))
