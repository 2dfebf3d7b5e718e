#!/usr/bin/env python3
"""A second reader of specs/bw1.md: opens the vectors beside it, sharing no code with crates/seal.

Needs Python 3.11 and `cryptography` 44 or later, with OpenSSL 3.2 for AES-GCM-SIV. It has no HPKE over
X-Wing; where a vector is sealed to a public key, it checks everything but that seal and takes from the
file what the seal holds. Argon2id is checked if `cryptography` has it.
"""

import functools
import hashlib
import hmac
import ipaddress
import json
import pathlib
import struct
import unicodedata

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

H = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
u8, u16, u32, u64 = (lambda n, f=f: struct.pack(f, n) for f in (">B", ">H", ">I", ">Q"))


def mac(key, *parts, hash="sha256"):
    return hmac.new(key, b"".join(parts), hash).digest()


def expand(key, info, length, hash="sha256"):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = mac(key, block, info, bytes([count]), hash=hash)
        out, count = out + block, count + 1
    return out[:length]


def X(key, label, ctx, length):  # §1.3
    return expand(key, b"bailiwick.v1 " + label.encode() + b"\0" + ctx, length)


def extract(data):
    return mac(b"bailiwick.v1 extract", data)


def unwrap(key, label, ctx, wrapped):  # §1.5
    salt, com, sealed = wrapped[:24], wrapped[24:56], wrapped[56:]
    keys = X(key, label, salt + ctx, 76)
    assert keys[44:] == com, "commitment"
    return AESGCM(keys[:32]).decrypt(keys[32:44], sealed, b"")


def open_blob(ik, ctx, blob):  # §9.1
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + blob[:24] + ctx
    keys = expand(ik, info, 76, "sha512")
    assert keys[44:] == blob[24:56], "commitment"
    nonce, rest, out, count = int.from_bytes(keys[32:44], "big"), blob[56:], b"", 0
    while True:
        chunk, rest = rest[:16400], rest[16400:]
        out += AESGCM(keys[:32]).decrypt((nonce ^ count).to_bytes(12, "big"), chunk, b"")
        count += 1
        if len(chunk) < 16400:
            assert not rest
            return out


def unpad(padded):  # §7.2
    text = padded.rstrip(b"\0")
    assert len(padded) % 64 == 0 and text[-1:] == b"\x80" and len(padded) - len(text) < 64
    return text[:-1]


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def __call__(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self(count), "big")


def load(name):
    def bits(value):
        if isinstance(value, dict):
            return {k: bits(v) for k, v in value.items()}
        if isinstance(value, list):
            return [bits(v) for v in value]
        try:
            return bytes.fromhex(value) if isinstance(value, str) else value
        except ValueError:
            return value

    return bits(json.loads((pathlib.Path(__file__).parent / f"{name}.json").read_text()))


def primitives():
    v = load("primitives")
    k, ctx, plain = v["k"], v["ctx"], v["plain"]
    assert X(k, v["label"], ctx, 76) == v["x"]
    assert extract(b"plaintext") == v["extract"]
    assert unwrap(k, v["label"], ctx, v["cwrap"]) == plain
    assert open_blob(v["ik"], ctx, v["blob"]) == plain
    assert open_blob(v["ik"], ctx, v["long_blob"]) == bytes(i % 253 for i in range(40000))


def code_seed(text, kind, count, label, place):  # §4.3
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = text.upper().replace("-", "").replace("O", "0").replace("I", "1").replace("L", "1")
    symbols, check = text[:count].encode(), text[count:]
    digest = H(b"bailiwick.v1 check\0", u8(kind), symbols)
    assert check == "".join(alphabet[octet & 31] for octet in digest[: len(check)])
    return X(extract(symbols), label, place, 32)


def password_seed(text, params, pepper, account, slot):  # §4.2
    f = Fields(params)
    memory, passes, lanes, salt, peppered = f.number(4), f.number(4), f.number(1), f(16), f.number(1)
    assert memory >= 65536 and passes >= 3 and lanes >= 1 and peppered == 1
    text = "".join(" " if unicodedata.category(c) == "Zs" else c for c in text)
    ad = H(b"bailiwick.v1 pw\0", account, slot)
    kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory, ad=ad, secret=pepper)
    return kdf.derive(unicodedata.normalize("NFC", text).encode())


def network(first, bits):  # §4.4
    address = ipaddress.IPv6Address(first)
    if address.ipv4_mapped and bits >= 96:
        return ipaddress.ip_network((address.ipv4_mapped, bits - 96))
    return ipaddress.ip_network((address, bits))


def account():
    v = load("account")
    account, mrk, g = v["names"]["account"], v["mrk"], u32(v["generation"])
    place = account + u32(v["names"]["epoch"]) + u32(v["names"]["version"])
    identity = Ed25519PrivateKey.from_private_bytes(v["identity"])
    id_pk = identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    digests, root = [], X(mrk, "root", account + g, 32)
    for record in v["slots"]:  # §4.1
        f = Fields(record)
        assert f.number(2) == 1
        kind, scope, slot, created, expires = f.number(1), f.number(1), f(16), f.number(8), f.number(8)
        slot_pk, pin, box, note = f(1216), f(32), f(1168), f(273)
        params = f(f.number(2))
        assert f.at == len(record) and scope < 32
        if kind == 1:
            seed = password_seed(v["password"], params, v["pepper"], account, slot)
        elif kind == 3:
            seed = code_seed(v["app_password"], 3, 26, "app password", account + slot)
        elif kind == 5:
            seed = code_seed(v["recovery_code"], 5, 32, "recovery", account + slot)
        elif kind == 7:
            seed = code_seed(v["token"], 7, 52, "token", account + slot)
        elif kind == 2:
            assert len(params) == 192
            seed = X(extract(v["export_key"]), "opaque", account + slot, 32)
        elif kind == 4:
            assert len(params) == 32
            seed = X(extract(v["prf_output"]), "prf", account + slot, 32)
        else:
            assert kind == 6 and not params
            seed = X(v["device_key"], "device", account + slot, 32)
        n = Fields(unwrap(root, "note", account + slot, note))  # §4.4
        length = n.number(1)
        assert n(63) == v["note"].encode().ljust(63, b"\0") and length == len(v["note"].encode())
        networks = [(n(16), n.number(1)) for _ in range(n.number(1))]
        assert [str(network(*one)) for one in networks] == ["192.0.2.0/24", "2001:db8::/32"]
        assert n(17 * (8 - len(networks))) == bytes(17 * (8 - len(networks))) and n.at == 201
        pin_key = X(seed, "slot", account + slot, 64)[32:]
        assert mac(pin_key, b"bailiwick.v1 pin\0", account, slot, id_pk) == pin
        digests.append((slot, H(record)))
    f = Fields(v["epoch_record"])  # §3.3
    assert f(2) == u16(1) and f(24) == place
    not_before, pk, com, box = f.number(8), f(1216), f(32), f(136)
    keys = unwrap(root, "epoch", place + H(pk), box)
    assert keys == v["epoch"]["sk"] + v["epoch"]["ek"]
    assert com == X(v["epoch"]["ek"], "epoch com", place, 32)
    m = Fields(v["manifest"])  # §5.1
    assert m(8) == b"BWMANIF1" and m(16) == account and m(16) == v["names"]["cell"]
    assert m(1) == b"\0" and m(32) == bytes(32) and m.number(8) == 1 and m(4) == g and m(32) == bytes(32)
    assert m(32) == X(mrk, "mrk com", account + g, 32)
    assert m(1) == b"\1" and m(32) == id_pk
    assert unwrap(root, "identity", account + id_pk, m(104)) == v["identity"]
    assert [(m(16), m(32)) for _ in range(m.number(2))] == digests
    assert m.number(2) == 1 and m(8) == place[16:] and m.number(8) == not_before
    assert m(96) == H(pk) + H(com + box) + bytes(32)
    m.number(8)
    signed = v["manifest"][: m.at]
    identity.public_key().verify(m(64), b"bailiwick.v1 manifest\0" + signed)
    assert m.at == len(v["manifest"])
    head = b"\0\1" + v["session"] + b"\4" * 16 + not_before.to_bytes(8, "big")  # specs/session.md
    assert v["kept_grant"][:42] == head
    grant = unwrap(v["session_secret"], "session", v["names"]["cell"] + account + head, v["kept_grant"][42:])
    assert grant == v["grant"]
    assert grant == b"BWGRANT1" + v["names"]["cell"] + account + b"\4" * 16 + g + b"\6" + not_before.to_bytes(
        8, "big") + u16(1) + place[16:] + keys


def mail():
    v = load("mail")
    account, ek, names = v["names"]["account"], v["epoch"]["ek"], v["names"]
    place = account + u32(names["epoch"]) + u32(names["version"])
    f = Fields(v["head_record"])  # §7.2
    header = f(60)
    assert header[:12] == b"BWLETTER" + u16(1) + u16(1) and header[12:44] == account + v["letter"]
    assert header[44:] == place[16:] + u64(v["arrived"])
    f(1120)
    number = f.number(4)
    secret = v["run_secret"]  # §7.1: what the capsule's HPKE context exports
    for _ in range(number):
        secret = X(secret, "run next", b"", 32)
    keys = X(secret, "letter", header + u32(number), 76)
    sealed = f(len(v["head_record"]) - f.at - 144)
    assert number == 2 and keys[:32] == v["ik"]
    assert unpad(AESGCM(keys[32:64]).decrypt(keys[64:], sealed, b"")) == v["head"]
    letter = H(v["head_record"][: f.at])
    ingest = f(80)  # §7.4
    start = H(b"bailiwick.v1 chain start\0", account)
    assert v["chain_before"] == u64(0) + start
    chain = H(b"bailiwick.v1 chain\0", account, u64(1), start, letter, ingest[40:])
    assert v["chain"] == u64(1) + chain == ingest[:40]
    body = v["body_record"]
    assert ingest[40:] == H(body[:56]) + u64(len(body))
    message = b"bailiwick.v1 ingest\0" + account + letter + ingest
    Ed25519PublicKey.from_public_bytes(v["ingest_public"]).verify(f(64), message)
    plain = open_blob(v["ik"], b"bailiwick.v1 body\0" + account + v["letter"], body)
    length = len(v["message"])
    e = length.bit_length() - 1
    step = 1 << (e - e.bit_length())  # §7.3
    assert plain == v["message"].ljust(-(-length // step) * step, b"\0")
    value, table = v["row_value"], u16(v["table"])  # §8
    aad = b"BWROW1\0\0" + place + u64(v["row"]) + u64(v["modseq"]) + table + bytes(6)
    assert value[:16] == place[16:] + u64(v["modseq"])
    key = X(ek, "row", place + table, 32)
    assert unpad(AESGCMSIV(key).decrypt(value[16:28], value[28:], aad)) == v["row_plain"]
    total = mac(X(ek, "anchor", place, 32), aad, value[-16:]) + u64(1) + u64(v["modseq"])
    chain = H(b"bailiwick.v1 anchor start\0", account, u32(names["epoch"]))
    anchor = total + H(b"bailiwick.v1 anchor\0", chain, total)
    assert v["anchor"] == anchor
    assert v["anchor_digest"] == H(b"bailiwick.v1 anchor digest\0", anchor)


def times(a, b):  # GF(2^8), 0x11B
    out = 0
    while b:
        out ^= a if b & 1 else 0
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return out


def combine(shares):  # Lagrange at zero; a^254 is 1/a
    inverse = lambda a: functools.reduce(times, [a] * 254)
    secret = bytes(32)
    for share in shares:
        factor = 1
        for other in shares:
            if other is not share:
                factor = times(factor, times(other[0], inverse(other[0] ^ share[0])))
        secret = bytes(s ^ times(factor, y) for s, y in zip(secret, share[1:]))
    return secret


def escrow():
    v = load("escrow")
    names = v["names"]
    place = names["account"] + u32(names["epoch"]) + u32(names["version"])
    f = Fields(v["escrow"])  # §6.2
    assert f(8) == b"BWESCRW1" and f(24) == place and f(16) == names["cell"] and f(32) == v["policy"]
    tag, xk_com, box = f(16), f(32), f(136)
    sides, all_shares, boxes = [], iter(v["shares"]), iter(v["share_boxes"])
    for party, target in ((b"A", place), (b"B", tag)):
        needed, total, shares = f.number(1), f.number(1), []
        for index in range(1, total + 1):
            holder, com, sealed, share = f(16), f(32), f(1169), next(all_shares)
            assert H(b"bailiwick.v1 share com\0", share) == com and share[0] == index
            handed = b"BWSHARE1" + party + bytes([index, needed, total]) + target  # §6.4
            assert next(boxes) == handed + names["cell"] + v["policy"] + holder + com + sealed
            shares.append(share)
        sides.append(combine(shares[-needed:]))
    assert f.at == len(v["escrow"])
    xk = X(extract(sides[0] + sides[1]), "xk", place + v["policy"], 32)
    assert X(xk, "xk com", place, 32) == xk_com
    assert unwrap(xk, "escrow", place + v["policy"], box) == v["epoch"]["sk"] + v["epoch"]["ek"]


for check in (primitives, account, mail, escrow):
    check()
    print("ok", check.__name__)
