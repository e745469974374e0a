"""Private payloads over real nodes: share, audit, deliver, purge, prove."""

import pytest

from andon.client.private import Private, encryption_public, new_encryption_key
from andon.core.errors import InvalidInput

from .conftest import OpenNet

pytestmark = pytest.mark.integration


async def test_a_payload_is_shared_audited_and_purged_with_proof(open_net: OpenNet) -> None:
    secrets = {org: new_encryption_key() for org in ("org-1", "org-2", "org-3")}
    async with open_net(seed=96, validators=3) as net, net.client() as client:
        await net.wait_height(1, 30)
        for org, secret in secrets.items():
            member = Private(client, net.key(f"{org}-admin"))
            await member.register_key(encryption_public(secret))
        owner, reader = (Private(client, net.key(f"{org}-operator")) for org in ("org-1", "org-2"))
        stranger = Private(client, net.key("org-3-operator"))
        one, two, third = (net.node(f"node-{number}").rpc for number in (1, 2, 3))

        sealed = await owner.share(b"recipe 7", ["org-2"], [one, two])
        with pytest.raises(InvalidInput, match="ROLE_DENIED"):
            await reader.fetch(sealed.id, one)
        opened = await reader.open(
            sealed.id, "audit 7", org="org-2", secret=secrets["org-2"], node=two
        )
        assert opened == b"recipe 7"
        with pytest.raises(InvalidInput, match="no reader"):
            await stranger.open(sealed.id, "x", org="org-3", secret=secrets["org-3"], node=one)
        await net.wait_height(await net.height(), 30)  # all nodes know of the opening
        with pytest.raises(InvalidInput, match="NOT_FOUND"):
            await reader.fetch(sealed.id, third)
        with pytest.raises(InvalidInput, match="NOT_FOUND"):
            await client.blob(sealed.id)

        await owner.grant(sealed, "org-3")
        assert (
            await stranger.open(sealed.id, "claim", org="org-3", secret=secrets["org-3"], node=one)
            == b"recipe 7"
        )
        events, _ = await client.events_page("0-0-0", contract="private", limit=100)
        audit = [
            (item.fields["org"], item.fields["purpose"]) for item in events if item.name == "Opened"
        ]
        assert audit == [("org-2", "audit 7"), ("org-3", "claim")]

        with pytest.raises(InvalidInput, match="NOT_FOUND"):
            await owner.confirm_purge(sealed.id, one)
        await Private(client, net.key("org-1-admin")).order_purge(sealed.id)
        for node in (one, two):
            await owner.confirm_purge(sealed.id, node)
        entry = await client.state("private", "payloads", sealed.id)
        assert isinstance(entry, dict)
        assert entry["status"] == "PURGED"
        for name in net.names:
            assert not list((net.home(name).data / "private").glob("*.blob"))
        with pytest.raises(InvalidInput, match="ROLE_DENIED"):
            await reader.fetch(sealed.id, one)
