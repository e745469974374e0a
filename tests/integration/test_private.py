"""Private payloads over real nodes: share, audit, deliver, purge, prove."""

import asyncio
import json
from pathlib import Path

import pytest

from andon.cli.main import cli, hoist
from andon.client.private import Private, encryption_public, new_encryption_key
from andon.core.errors import InvalidInput
from node.testing.pytest_plugin import OpenNet

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

        lost = net.home("node-2").data / "private" / f"{sealed.id.hex()}.blob"
        lost.unlink()
        async with asyncio.timeout(30):
            while not lost.exists():  # noqa: ASYNC110 - another keeper gives it back
                await asyncio.sleep(0.1)

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


async def test_the_command_line_leads_from_a_key_to_the_proof_of_a_purge(
    open_net: OpenNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_net(seed=97, validators=2) as net:
        await net.wait_height(1, 30)

        async def andon(*words: str, sender: str = "") -> dict[str, object]:
            arguments = ["--home", str(net.plan.home), "--json", *words]
            if sender:
                arguments += ["--from", sender]
            await asyncio.to_thread(cli.main, args=hoist(arguments), standalone_mode=False)
            document = json.loads(capsys.readouterr().out.splitlines()[-1])
            assert isinstance(document, dict)
            return document

        secret, recipe, sealed = tmp_path / "org-2.secret", tmp_path / "recipe", tmp_path / "sealed"
        recipe.write_bytes(b"recipe 7")
        await andon("private", "key", str(secret), sender="org-2-admin")
        assert secret.stat().st_mode & 0o077 == 0
        done = await andon("private", "seal", str(recipe), "--to=org-2", f"--out={sealed}")
        payload = str(done["payload"])
        await andon("private", "send", str(sealed))
        got = tmp_path / "got"
        await andon(
            "private", "get", payload, "--org=org-2", f"--secret={secret}", "--purpose=audit 7",
            f"--out={got}", sender="org-2-operator",
        )  # fmt: skip
        assert got.read_bytes() == b"recipe 7"
        assert (await andon("private", "purge", payload))["left"] == 0
        proof = tmp_path / "purge.proof"
        shown = await andon("private", "proof", payload, f"--out={proof}")
        assert isinstance(shown["statements"], list)
        assert len(shown["statements"]) == 2
        checked = await andon("verify", str(proof))
        assert checked["present"] is True
        assert "PURGED" in json.dumps(checked["value"])
        log = (await andon("private", "access", payload))["events"]
        assert isinstance(log, list)
        names = [item["name"] for item in log]
        assert names == ["Stored", "Opened", "PurgeOrdered", "Purged", "Purged"]
