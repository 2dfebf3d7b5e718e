//! Letters that look like letters: words of uneven frequency, headers as servers write them. One of
//! 64 KiB or more is a text of 8 KiB and an attachment in base64.
//!
//! Invariant: the same seed, number and size give the same octets, on every machine.

use std::fmt::Write as _;

const WORDS: usize = 8000;
const ONSETS: [&str; 23] = [
    "b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "br", "cl",
    "dr", "st", "tr", "sh", "th",
];
const VOWELS: [&str; 9] = ["a", "e", "i", "o", "u", "ai", "ea", "ou", "io"];
const CODAS: [&str; 11] = ["", "n", "r", "s", "t", "l", "m", "ck", "nd", "st", "ng"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Who every letter comes from; the zone that bench/run serves has its SPF record.
pub(crate) const SENDER: &str = "sender@example.org";

/// A letter of so many octets has an attachment, and so much text before it.
const ATTACHED_FROM: usize = 64 << 10;
const TEXT_BESIDE: usize = 8 << 10;
const BOUNDARY: &str = "mailbench-boundary";
/// RFC 2045 §6.8: a line of base64 has at most 76 characters.
const BASE64_LINE: usize = 76;
/// Attachments are cut out of so many lines, each from another line on.
const SUPPLY_LINES: usize = 1 << 14;

/// xorshift64: repeatable, and good enough for words.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// The vocabulary, and the order of letters drawn from it.
pub(crate) struct Letters {
    words: Vec<String>,
    /// Word numbers, each as often as it is likely (Zipf).
    likely: Vec<usize>,
    /// Lines of base64, where letters have attachments.
    supply: Vec<u8>,
    seed: u64,
    octets: usize,
}

impl Letters {
    /// Letters of about `octets` octets each.
    pub(crate) fn new(seed: u64, octets: usize) -> Self {
        let mut dice = Dice::new(42);
        let words = (0..WORDS).map(|_| {
            let mut word = String::new();
            for _ in 0..=dice.below(3) {
                word += dice.pick(&ONSETS);
                word += dice.pick(&VOWELS);
                word += dice.pick(&CODAS);
            }
            word
        });
        let words = words.collect();
        let likely = (0..WORDS).flat_map(|word| std::iter::repeat_n(word, 1 + 7000 / (word + 1)));
        let supply = if octets < ATTACHED_FROM { Vec::new() } else { base64_lines(seed) };
        Self { words, likely: likely.collect(), supply, seed, octets }
    }

    /// A word, the more frequent the lower its number (below 8000).
    pub(crate) fn vocabulary(&self, number: usize) -> &str {
        &self.words[number]
    }

    fn word(&self, dice: &mut Dice) -> &str {
        &self.words[self.likely[dice.below(self.likely.len())]]
    }

    /// The letter of this number, with CRLF line ends and no line that begins with a dot.
    pub(crate) fn letter(&self, number: u64, to: &str) -> Vec<u8> {
        let mut dice = Dice::new(self.seed ^ number.wrapping_mul(0x1000_0001) ^ 7);
        let mut text = String::with_capacity(self.octets + 512);
        self.header(&mut dice, number, to, &mut text);
        if self.supply.is_empty() {
            self.words_until(self.octets, &mut dice, &mut text);
            return text.into_bytes();
        }
        // A String takes every write.
        let _ = write!(text, "--{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
        self.words_until(TEXT_BESIDE, &mut dice, &mut text);
        let _ = write!(
            text,
            "--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\
             Content-Disposition: attachment; filename=\"{number}.bin\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        );
        let mut letter = text.into_bytes();
        self.attach(&mut dice, &mut letter);
        letter.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        letter
    }

    fn words_until(&self, octets: usize, dice: &mut Dice, text: &mut String) {
        let mut column = 0;
        while text.len() + 16 < octets {
            let word = self.word(dice);
            if column + word.len() + 1 > 72 {
                *text += "\r\n";
                column = 0;
            } else if column > 0 {
                text.push(' ');
            }
            *text += word;
            column += word.len() + 1;
        }
        *text += "\r\n";
    }

    /// Copies lines out of the supply until the letter has its size.
    fn attach(&self, dice: &mut Dice, letter: &mut Vec<u8>) {
        let mut from = dice.below(SUPPLY_LINES) * (BASE64_LINE + 2);
        while letter.len() + 64 < self.octets {
            let lines = (self.octets - letter.len()) / (BASE64_LINE + 2);
            let until = self.supply.len().min(from + lines.max(1) * (BASE64_LINE + 2));
            letter.extend_from_slice(&self.supply[from..until]);
            from = 0;
        }
    }

    fn header(&self, dice: &mut Dice, number: u64, to: &str, text: &mut String) {
        let date = format!(
            "{} {} {} {:02}:{:02}:{:02} +0000",
            1 + dice.below(28),
            dice.pick(&MONTHS),
            2018 + dice.below(8),
            dice.below(24),
            dice.below(60),
            dice.below(60),
        );
        let (relay, host) = (dice.below(9), 1 + dice.below(250));
        let subject: Vec<&str> = (0..3 + dice.below(6)).map(|_| self.word(dice)).collect();
        let reply = if dice.below(3) == 0 { "Re: " } else { "" };
        let name = format!("{} {}", self.word(dice), self.word(dice));
        let id = format!("{:x}.{number:x}.{:x}", self.seed, dice.next());
        // A String takes every write.
        let _ = write!(
            text,
            "Received: from mx{relay}.example.net (mx{relay}.example.net [192.0.2.{host}])\r\n\
             \tby in.example.org with ESMTPS id {:012x}\r\n\tfor <{to}>; {date}\r\n\
             From: {name} <{SENDER}>\r\nTo: <{to}>\r\nSubject: {reply}{}\r\nDate: {date}\r\n\
             Message-ID: <{id}@example.org>\r\n",
            dice.next() >> 16,
            subject.join(" "),
        );
        if dice.below(2) == 0 {
            let parent = format!("<{:x}.{:x}.parent@example.org>", self.seed, number / 3);
            let _ = write!(text, "In-Reply-To: {parent}\r\nReferences: {parent}\r\n");
        }
        if dice.below(4) == 0 {
            let _ = write!(text, "Cc: <{}@example.com>\r\n", self.word(dice));
        }
        *text += "MIME-Version: 1.0\r\nUser-Agent: mailbench\r\n";
        if self.supply.is_empty() {
            *text += "Content-Type: text/plain; charset=utf-8\r\n\
                      Content-Transfer-Encoding: 7bit\r\n\r\n";
        } else {
            let _ = write!(text, "Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n");
        }
    }
}

/// Random lines of base64.
fn base64_lines(seed: u64) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut dice = Dice::new(seed ^ 64);
    let mut lines = Vec::with_capacity(SUPPLY_LINES * (BASE64_LINE + 2));
    for _ in 0..SUPPLY_LINES {
        lines.extend((0..BASE64_LINE).map(|_| DIGITS[dice.below(64)]));
        lines.extend_from_slice(b"\r\n");
    }
    lines
}
