"""What the directory remembers of an account is what stands in the state, whatever changes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from andon.core.codec import Value, encode_value
from andon.core.state_key import state_key
from consensus.ledger import MemoryState, Overlay
from consensus.ledger.directory import IDENTITY, Directory

ACCOUNTS = (b"a" * 32, b"b" * 32)
ORGANISATIONS = ("press", "weld")


def member(organisation: str, role: str, *, active: bool) -> bytes:
    entry: Value = {"org": organisation, "roles": [role], "active": active}
    return encode_value(entry)


def organisation(*, active: bool) -> bytes:
    entry: Value = {"active": active}
    return encode_value(entry)


def key_of(account: bytes) -> bytes:
    return state_key(IDENTITY, "members", account)


def organisation_key(name: str) -> bytes:
    return state_key(IDENTITY, "organisations", name)


CHANGES = st.one_of(
    st.tuples(
        st.sampled_from([key_of(account) for account in ACCOUNTS]),
        st.one_of(
            st.none(),
            st.just(b"\xc0"),
            st.builds(
                member,
                st.sampled_from(ORGANISATIONS),
                st.sampled_from(["admin", "operator"]),
                active=st.booleans(),
            ),
        ),
    ),
    st.tuples(
        st.sampled_from([organisation_key(name) for name in ORGANISATIONS]),
        st.one_of(st.none(), st.builds(organisation, active=st.booleans())),
    ),
)


def stored() -> MemoryState:
    overlay = Overlay(MemoryState())
    for account, name in zip(ACCOUNTS, ORGANISATIONS, strict=True):
        overlay.put(key_of(account), member(name, "operator", active=True))
        overlay.put(organisation_key(name), organisation(active=True))
    state = MemoryState()
    state.apply(overlay)
    return state


@given(st.lists(st.one_of(CHANGES, st.just("mark"), st.just("rollback"), st.just("ask"))))
def test_what_is_remembered_is_what_is_read(steps: list[tuple[bytes, bytes | None] | str]) -> None:
    overlay = Overlay(stored())
    remembering = Directory(overlay.get, overlay.writes)
    mark = overlay.checkpoint()
    for step in steps:
        match step:
            case "mark":
                mark = overlay.checkpoint()
            case "rollback":
                overlay.rollback(mark)
            case (bytes() as key, value):
                overlay.put(key, value)
        for account in ACCOUNTS:
            assert remembering.member(account) == Directory(overlay.get).member(account)


def test_a_sender_is_read_once_while_nothing_changes_it() -> None:
    overlay, reads = Overlay(stored()), list[bytes]()

    def read(key: bytes) -> bytes | None:
        reads.append(key)
        return overlay.get(key)

    directory = Directory(read, overlay.writes)
    for _ in range(3):
        assert directory.may_send(ACCOUNTS[0])
    assert len(reads) == 2
    overlay.put(organisation_key(ORGANISATIONS[0]), organisation(active=False))
    assert not directory.may_send(ACCOUNTS[0])


def test_a_directory_over_changing_states_remembers_no_account() -> None:
    overlay = Overlay(stored())
    directory = Directory(overlay.get)
    assert directory.member(ACCOUNTS[0]) is not None
    overlay.put(key_of(ACCOUNTS[0]), None)
    assert directory.member(ACCOUNTS[0]) is None
