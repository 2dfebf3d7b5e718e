"""The demo's letters: made here, by Python's own `email` package, the same on every run.

A hundred letters as people get them: threads, HTML with pictures, attachments of megabytes, ten
scripts in the encodings they are really sent in, list mail, bounces, and the odd broken one.
Each carries a canary: a word found nowhere else, which the demo later looks for on the disk and
in memory, where it must not be.
"""

import email
import email.policy
import hashlib
import random
import struct
import zlib
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from datetime import datetime, timedelta, timezone

# (language, charset it is sent in, subject, a sentence). Sentences: Universal Declaration of
# Human Rights, art. 12 (public domain), whose subject is correspondence.
SCRIPTS = [
    ("en", "us-ascii", "Correspondence", "No one shall be subjected to arbitrary interference with his privacy, family, home or correspondence."),
    ("fr", "iso-8859-1", "Correspondance privée", "Nul ne sera l'objet d'immixtions arbitraires dans sa vie privée, sa famille, son domicile ou sa correspondance."),
    ("pl", "iso-8859-2", "Tajemnica korespondencji", "Nie wolno ingerować samowolnie w czyjekolwiek życie prywatne, rodzinne, domowe, ani w jego korespondencję."),
    ("ru", "koi8-r", "Тайна корреспонденции", "Никто не может подвергаться произвольному вмешательству в его личную и семейную жизнь."),
    ("el", "iso-8859-7", "Απόρρητο αλληλογραφίας", "Κανείς δεν επιτρέπεται να υποστεί αυθαίρετες επεμβάσεις στην ιδιωτική του ζωή."),
    ("he", "iso-8859-8", "פרטיות", "לא יהא אדם נתון להתערבות שרירותית בחייו הפרטיים, במשפחתו, במעונו, בחליפת מכתבים."),
    ("ar", "windows-1256", "خصوصية المراسلات", "لا يعرض أحد لتدخل تعسفي في حياته الخاصة أو أسرته أو مسكنه أو مراسلاته."),
    ("ja", "iso-2022-jp", "通信の秘密", "何人も、自己の私事、家族、家庭若しくは通信に対して、ほしいままに干渉されることはない。"),
    ("zh", "gb18030", "通信自由", "任何人的私生活、家庭、住宅和通信不得任意干涉，他的荣誉和名誉不得加以攻击。"),
    ("ko", "euc-kr", "통신의 비밀", "어느 누구도 자신의 사생활, 가정, 주거 또는 통신에 대하여 자의적인 간섭을 받지 않는다."),
    ("hi", "utf-8", "पत्र-व्यवहार की गोपनीयता", "किसी व्यक्ति की एकान्तता, परिवार, घर या पत्र-व्यवहार के प्रति कोई मनमाना हस्तक्षेप न किया जाएगा।"),
    ("th", "utf-8", "ความเป็นส่วนตัว", "บุคคลใดจะถูกแทรกแซงตามอำเภอใจในความเป็นส่วนตัว ครอบครัว ที่อยู่อาศัย หรือการสื่อสาร มิได้"),
]


# RFC 3464 §2.
STATUS = """Content-Type: message/delivery-status

Reporting-MTA: dns; example.org

Final-Recipient: rfc822; nobody@example.org
Action: failed
Status: 5.1.1
"""


@dataclass
class Letter:
    """One letter: who sends it, to whom, its octets (CRLF) and its canary."""

    sender: str
    recipient: str
    octets: bytes
    canary: str


def canary(number: int) -> str:
    """A word that occurs nowhere else, the same on every run."""
    return "canary" + hashlib.sha256(b"bailiwick demo %d" % number).hexdigest()[:20]


def picture(seed: int, side: int = 48) -> bytes:
    """A small PNG, so that HTML letters carry real pictures."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + bytes(noise.randrange(256) for _ in range(side * 3)) for _ in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Corpus:
    def __init__(self, recipients: list[str], start: datetime, seed: int = 1):
        self.recipients = recipients
        self.random = random.Random(seed)
        self.when = start
        self.letters: list[Letter] = []

    def new(self, subject: str, sender: str = "bob@example.org", recipient: str | None = None) -> EmailMessage:
        number = len(self.letters)
        recipient = recipient or self.recipients[number % len(self.recipients)]
        self.when += timedelta(hours=self.random.randrange(1, 7), minutes=self.random.randrange(60))
        message = EmailMessage()
        message["From"] = sender
        message["To"] = recipient
        message["Subject"] = f"{subject} {canary(number)}"
        message["Date"] = format_datetime(self.when)
        message["Message-ID"] = f"<{number}.{canary(number)}@example.org>"
        return message

    def add(self, message: EmailMessage) -> None:
        octets = message.as_bytes(policy=email.policy.SMTP)
        self.letters.append(
            Letter(message["From"], message["To"], octets, canary(len(self.letters)))
        )

    def text(self, sentence: str) -> str:
        return f"{sentence}\n\n{canary(len(self.letters))}\n"

    def scripts(self) -> None:
        for language, charset, subject, sentence in SCRIPTS:
            message = self.new(subject)
            message["Content-Language"] = language
            message.set_content(self.text(sentence), charset=charset)
            self.add(message)

    def threads(self, count: int, length: int) -> None:
        for thread in range(count):
            recipient, references = self.recipients[thread % len(self.recipients)], []
            for reply in range(length):
                message = self.new(f"{'Re: ' if reply else ''}Lease {thread}", recipient=recipient)
                if references:
                    message["In-Reply-To"] = references[-1]
                    message["References"] = " ".join(references)
                references.append(message["Message-ID"])
                quoted = "> I have read the draft.\n" * reply
                message.set_content(self.text(quoted + "The draft is agreed but for clause 4."))
                self.add(message)

    def html(self, count: int) -> None:
        for number in range(count):
            message = self.new("Newsletter with a picture")
            message.set_content(self.text("A picture is attached."))
            cid = f"picture{number}@example.org"
            body = f"<p>{canary(len(self.letters))}</p><img src='cid:{cid}' alt='noise'><blink>end</blink>"
            message.add_alternative(body, subtype="html")
            message.get_payload()[1].add_related(picture(number), "image", "png", cid=f"<{cid}>")
            self.add(message)

    def attachments(self, sizes: list[int]) -> None:
        for size in sizes:
            message = self.new(f"Scan of {size} octets")
            message.set_content(self.text("The scan is attached."))
            name = "décompte n° 4 – договор.pdf"
            message.add_attachment(self.random.randbytes(size), "application", "pdf", filename=name)
            self.add(message)

    def lists(self, count: int) -> None:
        for number in range(count):
            message = self.new(f"[members] Minutes {number}", sender="members@lists.example.org")
            message["List-Id"] = "Members <members.lists.example.org>"
            message["List-Unsubscribe"] = "<https://lists.example.org/leave>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            message["Precedence"] = "list"
            message.set_content(self.text("The minutes are below."))
            self.add(message)

    def bounces(self, count: int) -> None:
        for _ in range(count):
            message = self.new("Undelivered mail", sender="mailer-daemon@example.org")
            message.set_content(self.text("Your letter could not be delivered."))
            message.make_mixed()
            message.replace_header("Content-Type", 'multipart/report; report-type="delivery-status"')
            message.attach(email.message_from_string(STATUS, policy=email.policy.SMTP))
            self.add(message)

    def nested(self, count: int) -> None:
        for _ in range(count):
            inner = self.new("The letter inside")
            inner.set_content(self.text("Forwarded as it came."))
            message = self.new("Fwd: a letter inside a letter")
            message.set_content(self.text("See the letter attached."))
            message.add_attachment(inner)
            self.add(message)

    def odd(self) -> None:
        """Letters as broken programs send them; mail is not refused for bad manners."""
        bodies = [
            b"Subject: no colon line follows\r\nthis is not a field\r\n\r\n",
            b"Subject: raw eight bit \xe9\xe8\r\n\r\ncaf\xe9 ",
            b'Content-Type: multipart/mixed; boundary="never closed"\r\n\r\n--never closed\r\n\r\n',
            b"Content-Type: text/plain; charset=no-such-charset\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!not base64!!! ",
            b"Subject: =?utf-8?q?broken_=ZZ_word?=\r\n\r\n",
        ]
        for head in bodies:
            number = len(self.letters)
            recipient = self.recipients[number % len(self.recipients)]
            start = b"From: bob@example.org\r\nTo: %s\r\n" % recipient.encode()
            octets = start + head + canary(number).encode() + b"\r\n"
            self.letters.append(Letter("bob@example.org", recipient, octets, canary(number)))


def make(recipients: list[str], start: datetime) -> list[Letter]:
    """About a hundred letters, the first at `start`."""
    corpus = Corpus(recipients, start.astimezone(timezone.utc))
    corpus.scripts()
    corpus.threads(count=6, length=6)
    corpus.html(12)
    corpus.attachments([50_000, 300_000, 1_500_000, 3_000_000, 5_000_000])
    corpus.lists(15)
    corpus.bounces(8)
    corpus.nested(6)
    corpus.odd()
    return corpus.letters
