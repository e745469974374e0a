"""The acts of the factory demo: each is what people of four organisations do on one day."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import numpy as np

from andon.client.factory.capture import signed
from andon.client.factory.epcis import document
from andon.client.factory.passport import collect, encode_passport
from andon.core.block import prediction_id
from andon.core.codec import Dec, Key, Value
from andon.core.proof import encode_bundle
from andon.core.transaction import TransactionId, make_call
from models.recipes.demand import HISTORY
from node.testing.broker import find_mosquitto
from scripts.demo_factory_data import FactoryData, accuracy, demand_package, train_eye
from scripts.demo_factory_events import (
    COILS,
    HAMBURG,
    LOTS,
    MICRO,
    OSAKA,
    PART,
    PREFIXES,
    UNITS,
    assembled,
    made,
    now_ms,
    received,
    seen,
    turned,
)
from scripts.demo_factory_labels import MISTAKES, label_samples
from scripts.demo_factory_plant import (
    BUYER,
    GEARS,
    MOTORS,
    STEEL,
    Plant,
    rows,
    table,
    text,
)
from scripts.demo_factory_sensors import WORK_TIMEOUT_S, direct, through_broker

QUERIES = 24
"""Images of which labels are asked, at most: the first of the pool that left the eye unsure."""


class Story:
    """What the acts share: the plant, the data, and what was measured on the way."""

    def __init__(self, plant: Plant, data: FactoryData, home: Path) -> None:
        self.plant = plant
        self.data = data
        self.home = home
        self.lines: list[str] = []
        self.code = f"https://id.gs1.org/{UNITS['M3']}"
        self.passport = home / "motor-M3.passport"
        self.judgement = home / "inspection.proof"
        self.measures = list(data.measures)

    def tell(self, text: str) -> None:
        """One line of the story, now and at the end."""
        self.lines.append(text)
        self.plant.view.step(text)

    async def found(self) -> None:
        """Members, contracts, models."""
        plant, eye = self.plant, self.data.eye
        await plant.admit()
        for name in ("places", "genealogy", "supply", "recall", "token", "drift", "spc"):
            args: dict[Key, Value] = {"title": "label quota"} if name == "token" else {}
            await plant.deploy(name, args)
        margin = Dec(8 * 10**17)
        policy: dict[Key, Value] = dict(eye.policy.items())
        quality: dict[Key, Value] = {
            "model": "surface", "classes": [*eye.classes], "policy": policy, "margin": margin,
            "labels": "labels",
        }  # fmt: skip
        await plant.deploy("quality", quality)
        await plant.deploy("stages")
        await plant.deploy("labels")
        await plant.deploy("demand", {"model": "demand", "history": HISTORY})
        await plant.deploy("inventory")
        self.tell("four organisations voted inspectors in and deployed twelve contracts")
        await plant.activate(self.data.run.package, "turbofan-rul")
        await plant.activate(await asyncio.to_thread(demand_package), "demand")
        for org, prefix in PREFIXES.items():
            await plant.do(org, "admin", "places.claim", prefix=prefix)
            await plant.do(BUYER, "admin", "places.confirm", prefix=prefix)
        for org, place, north, east in (
            (MOTORS, HAMBURG, 53.55, 9.99),
            (BUYER, OSAKA, 34.69, 135.5),
        ):
            await plant.do(
                org, "admin", "places.set_place",
                place=place, latitude=round(north * MICRO), longitude=round(east * MICRO),
            )  # fmt: skip

    async def stock(self) -> None:
        """The bearing: history, stock, forecast."""
        plant, months = self.plant, self.data.demand
        past: list[Value] = [*months[:HISTORY]]
        await plant.do(GEARS, "operator", "demand.register", part=PART, month=HISTORY, history=past)
        await plant.do(
            GEARS, "operator", "inventory.stock_part",
            part=PART, on_hand=2, supplier=STEEL, lead_months=1, service=950,
        )  # fmt: skip
        for month in months[HISTORY:]:
            await plant.do(GEARS, "operator", "demand.forecast", part=PART)
            await plant.do(GEARS, "operator", "demand.record", part=PART, quantity=month)
        await plant.do(GEARS, "operator", "demand.forecast", part=PART)
        scores = table(await plant.ask("demand.accuracy", part=PART))
        shown = text({name: table(one)["mae"] for name, one in scores.items()})
        self.tell(
            f"demand ({self.data.demand_title}), MAE of {len(months) - HISTORY} months: {shown}"
        )

    async def watch(self) -> None:
        """The machine's sensors through Mosquitto and the gateway, until a work order is open."""
        plant, run = self.plant, self.data.run
        await plant.do(
            GEARS, "operator", "maintenance.register",
            machine=run.machine, path="gears/kassel/hardening/line-2/press-4", maintainer=MOTORS,
            subscribers=[STEEL, BUYER], part=PART,
        )  # fmt: skip
        await plant.do(GEARS, "admin", "maintenance.configure", changes={"parts": "inventory"})
        way = (
            await through_broker(plant, run, self.home)
            if find_mosquitto()
            else await direct(plant, run)
        )
        status = table(await plant.ask("maintenance.status", machine=run.machine))
        order = status["order"]
        self.tell(
            f"{run.machine} ({run.title}): {text(status['assessments'])} windows {way}; "
            f"remaining life {text(status['rul'])} cycles (in truth {run.left}), "
            f"{text(status['state'])}, "
            f"work order {text(order)} open"
        )
        assert order != 0, "a machine at the end of its life has a work order"
        await plant.do(MOTORS, "operator", "maintenance.acknowledge", order=order)
        await plant.do(
            MOTORS, "operator", "maintenance.close", order=order, failed=True, cause="bearing race"
        )
        held = table(await plant.ask("inventory.of", part=PART))
        score = await plant.ask("maintenance.score", kind="model", name="turbofan-rul")
        self.tell(
            "the maintainer closed it with the reserved bearing; "
            f"score of the model: {text(score)}; stock {text(held['on_hand'])}, "
            f"on order {text(held['on_order'])}"
        )
        await self._reorder()

    async def _reorder(self) -> None:
        """What the contract proposed is ordered, delivered and counted."""
        plant = self.plant
        await plant.do(GEARS, "operator", "inventory.review", part=PART)
        for number in range(1, 9):
            proposal = await plant.ask("inventory.proposal", number=number)
            if isinstance(proposal, dict) and proposal["status"] == "PROPOSED":
                height = int((await plant.client.status()).height)
                await plant.do(
                    GEARS, "operator", "inventory.order", proposal=number, due_height=height + 500
                )
                await plant.do(
                    GEARS, "operator", "inventory.deliver",
                    proposal=number, quantity=proposal["quantity"],
                )  # fmt: skip
                kpi = table(await plant.ask("inventory.kpi", part=PART, count=3))
                self.tell(
                    f"reorder proposal {number}: {text(proposal['quantity'])} bearings ordered and "
                    f"delivered; forecast KPI {text(kpi['kpi'])}, plain {text(kpi['plain'])}"
                )
                return

    async def produce(self) -> None:
        """Coils, gears at two stages, a motor; the second lot of coil H77 fails at stage 2."""
        plant = self.plant
        limits: list[Value] = [
            {"name": "turning", "limits": {"bore": [9_950, 10_050]}, "charts": {"bore": "bore"}},
            {
                "name": "grinding",
                "limits": {"bore": [9_970, 10_030], "face": [0, 50]},
                "charts": {},
            },
        ]
        await plant.do(GEARS, "operator", "stages.define", route="gears", stages=limits)
        await plant.do(
            GEARS, "operator", "spc.define",
            chart="bore", kind="EWMA", size=1, learn=4, observers=["stages"],
        )  # fmt: skip
        for coil in COILS.values():
            await self.record(STEEL, [made(coil)])
        for name, heat in (("G1", "H77"), ("G3", "H78")):
            await self.record(GEARS, [turned(LOTS[name], COILS[heat])])
            for stage in ("turning", "grinding"):
                await self.measure(LOTS[name], stage, self.measures[0])
            self.measures.pop(0)
        for unit, name in (("M1", "G1"), ("M3", "G3")):
            await self.record(MOTORS, assembled(UNITS[unit], LOTS[name]))
        await self.record(BUYER, [received(UNITS["M1"])])
        await self.record(GEARS, [turned(LOTS["G2"], COILS["H77"])])
        await self.measure(LOTS["G2"], "turning", self.measures[0])
        verdict = await self.measure(LOTS["G2"], "grinding", self.measures[-1])
        lot = table(await plant.ask("quality.lot", name=LOTS["G2"]))
        self.tell(
            f"lot G2 ({self.data.measures_title}): stage 2 {text(verdict)}, "
            f"lot {text(lot['status'])}"
        )
        assert verdict == "FAIL", "the bad lot has to be caught"

    async def trace(self) -> None:
        """From the bad lot up to its coil, and down to all that contains it."""
        plant = self.plant
        above = table(await plant.ask("genealogy.upstream", item=LOTS["G2"]))
        source = rows(rows(above["edges"])[0])[0]
        await plant.do(
            GEARS, "inspector", "stages.suspect", lot=LOTS["G1"], reason="same coil as G2"
        )
        shipped = await plant.ask("recall.shipped", item=source)
        number = await plant.do(
            STEEL, "operator", "recall.announce", item=source, reason="hardness out of range"
        )
        await plant.do(
            BUYER, "operator", "recall.answer", number=number, item=UNITS["M1"], action="RETURNED"
        )
        names = ", ".join(text(item).rsplit("/", 1)[-1] for item in rows(shipped))
        self.tell(
            f"traced to {text(source)}; recall {text(number)}: shipped lots that contain it: "
            f"{names}; the customer returned motor M1"
        )
        assert UNITS["M1"] in rows(shipped), "the motor with the bad gear was shipped"
        assert UNITS["M3"] not in rows(shipped), "the motor of the other coil is fine"

    async def learn(self) -> None:
        """The eye is unsure; inspectors of two organisations label; a better model is voted in."""
        plant, eye, step = self.plant, self.data.eye, self.plant.view.step
        step(f"training the first eye on {len(eye.first[1])} images, which takes a while")
        first = await asyncio.to_thread(train_eye, eye, *eye.first, "1", "none")
        await plant.activate(first, "surface")
        modeler = plant.key(GEARS, "modeler")
        await plant.do(
            GEARS, "modeler", "labels.open",
            dataset="surfaces", model="surface", classes=[*eye.classes], surety=800, reward=5,
        )  # fmt: skip
        await plant.do(
            GEARS, "modeler", "token.issue", target=bytes(modeler.public), amount=10 * 2 * QUERIES
        )
        looks = [
            make_call("quality", "inspect", {"lot": "pool", "image": image.tobytes()})
            for image in eye.pool[0]
        ]
        step(f"the eye looks at {len(looks)} images of the pool")
        await plant.many(GEARS, "operator", looks)
        pending = [rows(row)[1] for row in rows(
            await plant.ask("labels.pending", dataset="surfaces", after=0, count=256)
        )]  # fmt: skip
        labelled, disputed = await label_samples(
            plant, eye, [item for item in pending if isinstance(item, bytes)][:QUERIES]
        )
        digest = await plant.do(GEARS, "modeler", "labels.cut", dataset="surfaces")
        assert isinstance(digest, bytes), "a version has a digest"
        images = np.concatenate([eye.first[0], eye.pool[0][list(labelled)]])
        labels = np.concatenate([eye.first[1], np.array(list(labelled.values()), np.int64)])
        wrong = sum(int(eye.pool[1][at]) != said for at, said in labelled.items())
        step(f"training the second eye on {len(labels)} images")
        second = await asyncio.to_thread(train_eye, eye, images, labels, "2", digest.hex())
        before, after = accuracy(first, eye.test), accuracy(second, eye.test)
        if after > before:
            await plant.activate(second, "surface")
        for org in (GEARS, MOTORS, STEEL):
            account = plant.key(org, "inspector").public
            if await plant.ask("labels.debt", dataset="surfaces", account=account):
                await plant.do(GEARS, "modeler", "labels.pay", dataset="surfaces", account=account)
        self.tell(
            f"{eye.title}: {len(pending)} of {len(eye.pool[1])} images were unsure; inspectors who "
            f"err in {100 * MISTAKES:.0f} % of their answers labelled {len(labelled)}, {disputed} "
            f"after a third had to decide, {wrong} wrongly; accuracy on {len(eye.test[1])} others "
            f"{before:.3f} -> {after:.3f}, "
            + ("the new model was voted active" if after > before else "so nobody voted for it")
        )

    async def certify(self) -> None:
        """A certificate of conformity, a passport for the buyer, and a counterfeit."""
        plant, eye = self.plant, self.data.eye
        accepted = next(name for name, verdict in eye.policy.items() if verdict == "ACCEPT")
        good = eye.test[0][eye.test[1] == eye.classes.index(accepted)]
        for image in good:
            words: dict[str, Value] = {"lot": LOTS["G3"], "image": image.tobytes()}
            done = await plant.send(GEARS, "operator", make_call("quality", "inspect", words))
            found = table(done.results[0])
            identity = prediction_id(TransactionId(done.events[0].transaction_id), 0)
            proof = (await plant.client.prediction(identity)).proof
            assert proof is not None, "a final prediction has a proof"
            self.judgement.write_bytes(encode_bundle(proof))
            if found["verdict"] == "ACCEPT":
                break
            await plant.do(
                GEARS, "inspector", "quality.override",
                inspection=found["inspection"], verdict="ACCEPT", reason="looked at it by hand",
            )  # fmt: skip
        lot = table(await plant.ask("quality.lot", name=LOTS["G3"]))
        if lot["status"] == "QUARANTINED":
            for org in (GEARS, BUYER):
                await plant.do(org, "inspector", "quality.release", lot=LOTS["G3"])
        await plant.do(GEARS, "inspector", "quality.certify", lot=LOTS["G3"], route="gears")
        passport = await collect(plant.client, self.code)
        self.passport.write_bytes(encode_passport(passport))
        self.tell(
            f"certificate of conformity for lot G3; passport of motor M3: {len(passport.proofs)} "
            f"proofs, {self.passport.stat().st_size} bytes"
        )
        await self.record(BUYER, [seen(UNITS["M3"], OSAKA, minutes=5)])
        item = table(await plant.ask("supply.item", name=UNITS["M3"]))
        self.tell(
            f"the number of motor M3 was seen 9,000 km away minutes later: {text(item['suspect'])}"
        )
        assert item["suspect"] == "IMPOSSIBLE_TRAVEL", "nobody carries a motor so fast"

    async def measure(self, lot: str, stage: str, found: tuple[int, int]) -> Value:
        """Record the measurements of one stage; gives the verdict."""
        values: dict[Key, Value] = {"bore": found[0]}
        if stage == "grinding":
            values["face"] = max(0, min(50, found[1]))
        done = await self.plant.do(
            GEARS, "operator", "stages.measure", lot=lot, route="gears", stage=stage, values=values
        )
        return table(done)["verdict"]

    async def record(self, org: str, events: list[dict[Key, Value]]) -> None:
        """Post a signed EPCIS document to a node and wait for its job."""
        plant = self.plant
        written = document(events, now_ms())
        body = await signed(plant.client, written, plant.key(org, "operator"))
        url = plant.client.endpoint
        async with aiohttp.ClientSession() as http:
            async with http.post(url + "/epcis/capture", data=body) as answer:
                assert answer.status == 202, await answer.text()
                job = answer.headers["Location"]
            async with asyncio.timeout(WORK_TIMEOUT_S):
                while True:
                    async with http.get(url + job) as answer:
                        found = json.loads(await answer.text())
                    if not found["running"]:
                        break
                    await asyncio.sleep(0.1)
        assert found["success"], found["errors"]
        plant.transactions += 1
