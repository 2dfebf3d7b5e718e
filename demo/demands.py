"""The desk: the founding story act by act, then a demand that is answered."""

import json
import time
import tomllib
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cells import Account, Cell
from stage import Broken, Stage

PACKS = Path(__file__).resolve().parent.parent / "packs"
CHECKS = {"form_is_usual": True, "issuer_found": True, "called_back": None, "forgery_suspected": False}


def facts_of(case: str) -> dict:
    """A replay case's facts, as its pack's file has them."""
    (path,) = PACKS.glob(f"*/cases/{case}-*.toml")
    whole = tomllib.loads(path.read_text())
    return whole["facts"] | whole.get("assumed", {})


class Desk:
    """One cell's desk, and the key files of its staff."""

    def __init__(self, stage: Stage, cell: Cell):
        self.stage, self.cell = stage, cell
        (stage.root / "desk").mkdir(exist_ok=True)

    def run(self, who: str, *words: str, **options) -> str:
        signed = ["--as", f"desk/{who}.key"] if who else []
        return self.stage.run("bailiwick", "desk", "--config", self.cell.config, *signed, *words, **options)

    def json(self, who: str, *words: str, **options) -> dict:
        answer = json.loads(self.run(who, "--json", *words, **options))
        return answer.get("said", answer)

    def file(self, name: str, value) -> str:
        path = self.stage.root / "desk" / name
        path.write_text(json.dumps(value, indent=1) if not isinstance(value, str) else value)
        return f"desk/{name}"

    def staff(self) -> None:
        for name, role in [("clerk", "clerk"), ("counsel", "counsel,approver"), ("approver", "approver"), ("station", "station")]:
            made = self.json("", "keygen", "--out", f"desk/{name}.key")
            person, public = made["public"].split()
            self.run("", "enrol", person, public, "--name", name, "--role", role)
        self.file("trust.json", self.json("", "trust")["policy"])

    def receive(self, name: str, demand: dict, address: str | None = None) -> str:
        paper = self.file(f"{name}.paper", f"{demand['authority']}\n{demand['reference']}\n{demand['basis']}\n")
        words = ["receive", self.file(f"{name}.json", demand), paper]
        words += ["--address", address] if address else []
        return self.json("clerk", *words)["receipt"]["case"]

    def opinion(self, case: str, facts: dict | None = None) -> dict:
        self.run("clerk", "verify", case, self.file("checks.json", {"checks": CHECKS, "facts": facts or {}}))
        return self.json("counsel", "assess", case)["opinion"]

    def state(self, case: str) -> str:
        return self.json("clerk", "show", case, show=False)["file"]["line"]["state"]

    def log_size(self) -> int:
        return self.cell.admin("log")["size"]


def rehearse(stage: Stage, desk: Desk, case: str, title: str, authority: str, outcome: str, reason: str) -> dict:
    """A founding case, as the law of its day has it; nothing can be released in a rehearsal."""
    stage.say(title)
    demand = {"authority": authority, "reference": case, "basis": facts_of(case).get("instrument", "none cited"),
              "facts": facts_of(case), "secrecy": "none", "rehearsal": True}
    demand["facts"]["authenticated"] = None
    number = desk.receive(case, demand)
    desk.run("clerk", "verify", number, desk.file("checks.json", {
        "checks": CHECKS | {"called_back": {"number_from": "the State's own directory", "at": int(time.time()) - 60,
                                            "confirmed": True}}}))
    opinion = desk.json("counsel", "assess", number)["opinion"]
    expected = tomllib.loads(next(PACKS.glob(f"*/cases/{case}-*.toml")).read_text())["expect"]
    words = [word.upper() for word in opinion["decision"]]
    said = ", ".join(words)
    wanted = {word.replace("_", "") for word in expected["decision"]}
    stage.promise({word.replace("_", "") for word in words} == wanted,
                  f"{case}: the law of {opinion['law_on']} says {said}")
    desk.run("counsel", "decide", number, outcome, "--reason", reason)
    if outcome in ("refuse", "refer", "object"):
        letter = desk.run("counsel", "letter", number)
        stage.promise(len(letter) > 100, "the authority gets a letter with the reasons and how to cure them")
    return opinion


def founding_story(stage: Stage, desk: Desk) -> None:
    stage.title("2013: a regulator asks, without a court, with whom a user corresponded")
    rehearse(stage, desk, "F01", "Federal Service for Financial Markets, administrative order", "financial-markets regulator",
             "refuse", "correspondents are secret correspondence; no court decision")
    stage.title("2013 to 2018: a warrant from New York for a mailbox in Dublin")
    rehearse(stage, desk, "F03", "2013: served", "U.S. District Court, S.D.N.Y.", "object",
             "content is in Ireland; the treaty is the door; what is in the United States is produced there")
    rehearse(stage, desk, "F04", "2014: stayed", "U.S. District Court, S.D.N.Y.", "preserve", "the order is stayed")
    rehearse(stage, desk, "F06", "2016: after the Second Circuit", "U.S. District Court, S.D.N.Y.", "refer",
             "the statute does not reach content stored in Ireland; what is held here is none of it")
    rehearse(stage, desk, "F07", "2018: after the CLOUD Act", "U.S. District Court, S.D.N.Y.", "preserve",
             "counsel weighs comity before anything is produced")


def production_order(stage: Stage, desk: Desk, account: Account, midpoint: int) -> dict:
    """A European Production Order today, from the paper to the package."""
    stage.title("today: a European Production Order for a part of one mailbox")
    served = datetime.now(timezone.utc) - timedelta(days=2)
    month = served.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    period = {"from": int(month.timestamp()), "until": int(time.time()) + 3600}
    stage.run("age-keygen", "-o", "desk/authority.key")
    recipient = stage.run("age-keygen", "-y", "desk/authority.key", show=False).strip()
    enrolled = desk.json("clerk", "enrol-authority", "investigating judge, Paris", "--place", "fr", "--recipient",
                         recipient, "--number-from", "the EJN atlas")["id"]
    desk.run("clerk", "confirm-authority", enrolled, fails="must be another person")
    stage.promise(True, "the person who enrolled an authority cannot confirm it")
    desk.run("counsel", "confirm-authority", enrolled)
    facts = facts_of("G01") | {"served": served.isoformat(timespec="seconds"), "enforcing_authority": "cleared",
                               "authenticated": None}
    facts["items"] = [{"name": "content", "category": "content", "item_place": "ie", "item_keys": "local", "retrievable": True}]
    demand = {"authority": "investigating judge, Paris", "enrolled": enrolled, "reference": "EPOC 2026/1",
              "basis": "Regulation (EU) 2023/1543 art. 5", "identifiers": [account.address], "period": period, "facts": facts}
    desk.run("clerk", "receive", desk.file("silent.json", demand), desk.file("silent.paper", "a paper"), "--address", account.address,
             fails="does not say whether it is secret")
    stage.promise(True, "a demand that does not say whether it is secret is not entered")
    demand |= {"secrecy": "none"}
    desk.run("clerk", "receive", desk.file("other.json", demand | {"identifiers": ["nobody@ie.example"]}),
             desk.file("other.paper", "another paper"), "--address", account.address,
             fails="no identifier of the demand leads to this account")
    stage.promise(True, "a demand is not entered on an account that it does not name")
    case = desk.receive("epoc", demand, account.address)
    desk.run("clerk", "preserve", case, fails="the law names for its preservation")
    desk.run("clerk", "preserve", case, "--days", "60")
    desk.run("clerk", "count", case)
    opinion = desk.opinion(case)
    stage.promise([word.lower() for word in opinion["decision"]] == ["accept"], "the law says: comply")
    whole = {"version": 1, "account": account.id, "from": period["from"], "until": period["until"],
             "categories": ["content"], "correspondents": [], "message_ids": []}
    before = desk.file("scope.json", whole)
    desk.run("counsel", "decide", case, "comply", "--scope", before)
    after = desk.file("narrowed.json", whole | {"from": period["from"], "until": midpoint})
    desk.run("counsel", "narrow", case, before, after)
    station_key = desk.json("station", "order-key", "--out", "desk/order.key")["public"]
    order = desk.json("counsel", "prepare", case, "--recipient", station_key, "--days", "1", show=False)["digest"]
    stage.say(f"$ bailiwick desk --as desk/counsel.key prepare {case} --recipient … --days 1: order {order}")
    desk.run("counsel", "approve", case, order, "--office", "counsel", "--yes")
    desk.run("counsel", "approve", case, order, "--office", "approver", "--yes", fails="must be another person")
    stage.promise(True, "one officer who holds both offices is still one person")
    desk.run("station", "produce", case, "--order-key", "desk/order.key", "--trust", "desk/trust.json", "--out",
             "desk/early.age", fails="allows")
    stage.promise(True, "with one officer's signature nothing is released")
    desk.run("approver", "approve", case, order, "--office", "approver", "--yes")
    return {"case": case, "order": order, "midpoint": midpoint, "from": period["from"]}


def answer_shares(stage: Stage, desk: Desk, case: str, folder: str) -> None:
    """Each holder checks the evidence alone, on a machine of its own; its answer is in the folder."""
    stage.until("the log has the authorisation", lambda: desk.state(case) == "logged")
    desk.run("clerk", "holders", case, folder)
    named = {line.split()[1]: line.split()[2] for line in desk.run("clerk", "register", show=False).splitlines()
             if line.startswith("holder")}
    for path in sorted((stage.root / folder).glob("*-*.json")):
        office, holder = path.stem.split("-", 1)
        name = named[holder]
        if name == "trustee-3":
            continue
        report = stage.run("bailiwick-verify", office, "answer", "--request", f"{folder}/{path.name}", "--key", f"{name}.key",
                           "--trust", "desk/trust.json", "--served", f"{name}.served", "--out", f"{folder}/{name}.answer", "--yes")
        stage.promise("PASS" in report, f"{name} finds the release logged, witnessed and signed by two")


def hand_over(stage: Stage, desk: Desk, case: str) -> None:
    stage.title("the station: opens what the order names, and nothing opens without the guards")
    for name in ["trustee-1", "trustee-2"]:
        desk.run("clerk", "share", case, f"desk/asked/{name}.answer")
    desk.run("station", "produce", case, "--order-key", "desk/order.key", "--trust", "desk/trust.json", "--out",
             "desk/early.age", fails="shares")
    stage.promise(True, "two trustees without guards open nothing")
    for name in ["guard-1", "guard-2"]:
        desk.run("clerk", "share", case, f"desk/asked/{name}.answer")
    desk.run("station", "produce", case, "--order-key", "desk/order.key", "--trust", "desk/trust.json", "--out",
             "desk/production.age")
    stage.promise(not (stage.root / "desk/order.key").exists(), "the order's key is gone with the production")


def check_package(stage: Stage, wanted: set[str], unwanted: set[str]) -> None:
    stage.title("the court: opens the package with its own key and checks it without the server")
    report = stage.run("bailiwick-verify", "production", "desk/production.age", "--identity", "desk/authority.key",
                       "--trust", "desk/trust.json", "--demand", "desk/epoc.paper")
    stage.promise("FAIL" not in report and "PASS" in report, "every line of the verifier's list passes")
    print("".join(f"     {line}\n" for line in report.splitlines()))
    unpack(stage, "desk/production.age", "desk/bag")
    stage.promise(True, "age, tar, sha256sum and sha512sum, which know nothing of Bailiwick, agree")
    letters = b"".join(path.read_bytes() for path in sorted((stage.root / "desk/bag/data/eml").glob("*.eml")))
    stage.promise(wanted and all(word.encode() in letters for word in wanted),
                  f"all {len(wanted)} letters the order names are there")
    stage.promise(unwanted and not any(word.encode() in letters for word in unwanted),
                  f"none of the {len(unwanted)} others is")


def order_of_today(desk: Desk, account: Account, reference: str, keys: str, period: dict, secrecy: dict | None = None,
                   category: str = "content") -> tuple[str, dict]:
    """A production order served two days ago, which the enforcing authority has cleared: its case and the opinion."""
    served = datetime.now(timezone.utc) - timedelta(days=2)
    facts = facts_of("G01") | {"served": served.isoformat(timespec="seconds"), "enforcing_authority": "cleared",
                               "authenticated": None}
    facts["items"] = [{"name": category, "category": category, "item_place": "ie", "item_keys": keys,
                       "retrievable": keys != "user"}]
    enrolled = json.loads((desk.stage.root / "desk/epoc.json").read_text())["enrolled"]
    name = reference.replace(" ", "-").replace("/", "-")
    demand = {"authority": "investigating judge, Paris", "enrolled": enrolled, "reference": reference, "secrecy": {"order": secrecy} if secrecy else "none",
              "basis": "Regulation (EU) 2023/1543 art. 5", "identifiers": [account.address], "period": period, "facts": facts}
    case = desk.receive(name, demand, account.address)
    return case, desk.opinion(case)


def managed_under_secrecy(stage: Stage, desk: Desk, account: Account, mine: set[str]) -> None:
    """A managed account, one vault officer, and a non-disclosure order that ends."""
    stage.title("an account in custody `managed`, under a non-disclosure order that ends in 45 seconds")
    ends = int(time.time()) + 45
    secrecy = {"basis": "the order's section H", "issuer": "investigating judge, Paris", "until": ends, "review": ends - 5}
    period = {"from": int(time.time()) - 86400, "until": int(time.time()) + 3600}
    before = desk.log_size()
    case, opinion = order_of_today(desk, account, "EPOC 2026/3", "local", period, secrecy)
    scope = {"version": 1, "account": account.id, "from": period["from"], "until": period["until"],
             "categories": ["content"], "correspondents": [], "message_ids": []}
    desk.run("counsel", "decide", case, "comply", "--scope", desk.file("managed-scope.json", scope))
    stage.promise((desk.log_size() - before) % 4 == 0, "the log shows batches of one size, not this case")
    key = desk.json("station", "order-key", "--out", "desk/managed-order.key", show=False)["public"]
    order = desk.json("counsel", "prepare", case, "--recipient", key, show=False)["digest"]
    desk.run("counsel", "approve", case, order, "--office", "counsel", "--yes")
    desk.run("approver", "approve", case, order, "--office", "approver", "--yes")
    answer_shares(stage, desk, case, "desk/managed")
    openings = desk.cell.folder / "data/log/openings"
    stage.promise(time.time() < ends and not openings.exists(), "while the order binds no leaf of it is opened")
    for name in ["vault-1", "guard-1", "guard-2"]:
        desk.run("clerk", "share", case, f"desk/managed/{name}.answer")
    produce = ["produce", case, "--order-key", "desk/managed-order.key", "--trust", "desk/trust.json", "--out"]
    # The file cannot be written once the desk has signed: as if the power failed just then.
    desk.run("station", *produce, desk.file("managed.lost", ""), fails="cannot make")
    stage.promise(desk.state(case) == "produced", "a station that fails after the desk has signed leaves no package")
    desk.run("station", *produce, "desk/managed.age")
    stage.promise(desk.state(case) == "delivered", "and begins again with the same key and shares")
    report = stage.run("bailiwick-verify", "production", "desk/managed.age", "--identity", "desk/authority.key",
                       "--trust", "desk/trust.json")
    stage.promise("FAIL" not in report, "the production of a managed account passes every check")
    stage.until("the sealed leaves are opened", lambda: openings.is_dir() and len(list(openings.glob("*.json"))) >= 5)
    stage.promise(time.time() >= ends, "its leaves are opened when the secrecy ends, and not before")


def signed_by_two(desk: Desk, case: str, *recipient: str) -> None:
    order = desk.json("counsel", "prepare", case, *recipient)["digest"]
    desk.run("counsel", "approve", case, order, "--office", "counsel", "--yes")
    desk.run("approver", "approve", case, order, "--office", "approver", "--yes")
    desk.stage.until("the log has the authorisation", lambda: desk.state(case) == "logged")


def unpack(stage: Stage, package: str, folder: str) -> Path:
    """The package opened by programs that know nothing of Bailiwick."""
    stage.run("age", "--decrypt", "-i", "desk/authority.key", "-o", f"{folder}.tar", package)
    (stage.root / folder).mkdir()
    stage.run("tar", "-xf", f"{folder}.tar", "-C", folder)
    stage.run("sh", "-c", f"cd {folder} && sha256sum --quiet --check manifest-sha256.txt && "
                          "sha512sum --quiet --check manifest-sha512.txt")
    return stage.root / folder


def sealed_account(stage: Stage, desk: Desk, account: Account, mine: set[str]) -> None:
    stage.title("the same order for an account in custody `sealed`: what is held, as sealed as it is")
    month = datetime.now(timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    period = {"from": int(month.timestamp()), "until": int(time.time()) + 3600}
    case, opinion = order_of_today(desk, account, "EPOC 2026/2", "user", period)
    produce = [part["produce"] for part in opinion["parts"]]
    stage.promise(produce == ["ciphertext"], "the law asks for what is held: ciphertext, and a statement")
    opened = {"version": 1, "account": account.id, "from": period["from"], "until": period["until"],
              "categories": ["content"], "correspondents": [], "message_ids": []}
    before = desk.file("sealed-scope.json", opened)
    desk.run("counsel", "decide", case, "comply", "--scope", before, fails="needs a reason")
    stage.promise(True, "to order it opened is against the law's opinion, and needs a written reason")
    desk.run("counsel", "decide", case, "comply", "--scope", before, "--reason", "perhaps somebody holds a key")
    key = desk.json("station", "order-key", "--out", "desk/sealed-order.key", show=False)["public"]
    refusal = desk.run("counsel", "prepare", case, "--recipient", key, fails="nobody but the account's owner holds a key", show=False)
    stage.say(refusal.strip().splitlines()[0])
    stage.promise(True, "even then no order can be prepared: there is no escrow, and nobody but its owner can open it")
    desk.run("counsel", "narrow", case, before, desk.file("sealed-narrowed.json", opened | {"form": "sealed"}))
    signed_by_two(desk, case)
    desk.run("clerk", "holders", case, "desk/nobody", fails="no holder is asked")
    produce = ["produce", case, "--trust", "desk/trust.json", "--out", "desk/sealed.age"]
    # The desk does not take the record of the delivery: as if the power failed just then.
    desk.run("station", *produce, "--means", "x" * 201, fails="then run: desk deliver")
    stage.promise(desk.state(case) == "produced", "a station that is cut short after it wrote the package says how to go on")
    desk.run("station", "deliver", case, "desk/sealed.age")
    stage.promise(desk.state(case) == "delivered", "and the package it wrote is delivered by `deliver` alone")
    report = stage.run("bailiwick-verify", "production", "desk/sealed.age", "--identity", "desk/authority.key",
                       "--trust", "desk/trust.json")
    stage.promise("FAIL" not in report and "Ciphertext only; nothing in it opens without the owner" in report,
                  "the verifier finds ciphertext of the order's period, in an account without holders, and nothing else")
    bag = unpack(stage, "desk/sealed.age", "desk/sealed-bag")
    inventory = json.loads((bag / "data/inventory.json").read_text())
    kinds = {line["table"] for line in inventory}
    stage.promise({2, 3, 17} <= kinds <= {2, 3, 16, 17, 32},
                  f"{len(inventory)} sealed records: manifest, epoch keys, letters and rows; no unlocker, no escrow")
    octets = b"".join(path.read_bytes() for path in bag.rglob("*") if path.is_file())
    stage.promise(mine and not any(word.encode() in octets for word in mine), "none of its letters' words is in it")
    statement = (bag / "data/statement.txt").read_text()
    stage.promise("by receipt guards               none" in statement and "lists its keys, and no escrow" in statement,
                  "a statement says what it is, and that nobody here holds a key")
    print("".join(f"     {line}\n" for line in statement.splitlines()))
    letter = next(bag.glob("data/sealed/17/*"))
    whole = letter.read_bytes()
    letter.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    stage.run("bailiwick-verify", "production", "desk/sealed-bag", "--trust", "desk/trust.json", fails="FAIL", show=False)
    stage.promise(True, "caught: one octet of ciphertext changed")


def subscriber(stage: Stage, desk: Desk, account: Account, alias: str) -> None:
    """An order for who the subscriber is: what the cell itself knows, field by field."""
    stage.title("an order for subscriber data: no letter, no holder, two officers and the log all the same")
    period = {"from": int(time.time()) - 86400, "until": int(time.time()) + 3600}
    case, opinion = order_of_today(desk, account, "EPOC 2026/4", "local", period, category="subscriber")
    stage.promise([word.lower() for word in opinion["decision"]] == ["accept"], "the law says: comply")
    scope = {"version": 1, "account": account.id, "from": period["from"], "until": period["until"],
             "categories": ["subscriber"], "fields": ["addresses", "created"]}
    desk.run("counsel", "decide", case, "comply", "--scope", desk.file("content-scope.json", scope | {
        "categories": ["content"], "fields": []}), fails="needs a reason")
    stage.promise(True, "an order for subscriber data does not reach letters")
    desk.run("counsel", "decide", case, "comply", "--scope", desk.file("subscriber-scope.json", scope))
    signed_by_two(desk, case)
    desk.run("station", "produce", case, "--trust", "desk/trust.json", "--out", "desk/subscriber.age")
    report = stage.run("bailiwick-verify", "production", "desk/subscriber.age", "--identity", "desk/authority.key",
                       "--trust", "desk/trust.json")
    stage.promise("FAIL" not in report and "PASS  What is told of the subscriber" in report,
                  "the verifier finds what the scope names, and no more")
    bag = unpack(stage, "desk/subscriber.age", "desk/subscriber-bag")
    told = json.loads((bag / "data/records/subscriber.json").read_text())
    stage.promise(set(told) == {"addresses", "created"}, "two fields were named, and two are told")
    stage.promise({line["address"] for line in told["addresses"]} == {account.address, alias}, "its address and its alias")
    stage.promise(abs(told["created"] - time.time()) < 3600, "and since when it exists")
    files = {str(path.relative_to(bag / "data")) for path in (bag / "data").rglob("*") if path.is_file()}
    stage.promise(files == {"index.json", "redactions.json", "scope.json", "statement.txt", "records/subscriber.json"},
                  "nothing else is in the package")


def attacks(stage: Stage, desk: Desk) -> None:
    stage.title("forgeries, each caught by the program outside the server")
    bag = stage.root / "desk/bag"

    def caught(what: str, line: str, *words: str) -> None:
        report = stage.run("bailiwick-verify", *words, "--trust", "desk/trust.json", fails="FAIL", show=False)
        failed = [one.strip() for one in report.splitlines() if "FAIL" in one]
        if line not in failed[0]:
            raise Broken(f"{what}: caught, but by another check: {failed}")
        stage.promise(True, f"caught: {what}")

    letter = next((bag / "data/eml").glob("*.eml"))
    whole = letter.read_bytes()
    letter.write_bytes(whole.replace(b"e", b"a", 1))
    caught("a production with one letter changed in one place", "complete", "production", "desk/bag")
    letter.write_bytes(whole)
    stage.run("bailiwick-verify", "production", "desk/bag", "--trust", "desk/trust.json", show=False)
    stage.promise(True, "and put right, it passes again")
    evidence = json.loads((bag / "release.json").read_text())
    forged = json.loads(json.dumps(evidence))
    forged["approvals"][1] = forged["approvals"][0]
    desk.file("forged.json", forged)
    caught("a release that one officer approved twice", "does not commit to this pair of approvals", "release", "desk/forged.json")
    forged = json.loads(json.dumps(evidence))
    signature = forged["approvals"][1]["signature"]
    forged["approvals"][1]["signature"] = ("0" if signature[0] != "0" else "1") + signature[1:]
    desk.file("forged.json", forged)
    caught("a release with a forged approval", "does not commit to this pair of approvals", "release", "desk/forged.json")
    stage.run("bailiwick-verify", "release", "desk/bag/release.json", "--trust", "desk/trust.json", show=False)
    caught("an order that has expired", "the order has expired", "release", "desk/bag/release.json", "--at", str(int(time.time()) + 36 * 3600))


def check_log(stage: Stage, cell: Cell) -> None:
    stage.title("the public log: copied and checked by anyone")
    source = f"{cell.name}/data/log"
    stage.run("cp", "-r", source, "log-copy")
    report = stage.run("bailiwick-verify", "log", "log-copy", "--trust", "desk/trust.json")
    stage.promise("FAIL" not in report, "every leaf is there, numbered, witnessed by the other cell")
    bundles = sorted((stage.root / "log-copy/tile/entries").rglob("*"))
    bundle = max((path for path in bundles if path.is_file()), key=lambda path: path.stat().st_size)
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[: 514 * 3] + whole[514 * 4 :])
    stage.run("bailiwick-verify", "log", "log-copy", "--trust", "desk/trust.json", fails="FAIL", show=False)
    stage.promise(True, "caught: a log with one leaf dropped")
    first = stage.run("curl", "--silent", f"http://{cell.host}:{cell.http}/checkpoint")
    stage.promise(first.startswith(f"{cell.domain}/log\n"), "and it is served over HTTP as static tiles")
