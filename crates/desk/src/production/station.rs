//! The station: opens, within one order, what lies in sealed records, and keeps what the scope
//! names.
//!
//! First the heads and message rows are opened; what is outside the period or names no
//! correspondent of the scope is dropped there. Only letters still wanted have their text opened.
//!
//! Invariant: nothing is kept that the scope does not name; traffic without content never opens
//! a body; a letter in several mailboxes is produced once.
//! Refs: specs/production.md §2; specs/release-evidence.md §8.

use super::package::FILES_MAX;
use super::unopened::SealedPart;
use crate::scope::{Scope, SubscriberField};
use custody::ciphertext::NotReached;
use custody::holder::Answer;
use custody::opening::{NotCombined, NotOpened, Tally};
use custody::production::ProducedRecord;
use custody::{Logged, Opening, RecipientKey, Refused, ReleaseEvidence, TrustPolicy};
use minicbor::Decode;
use proto::message::{EnvelopeAddress, MessageView};
use seal::age::Recipient;
use seal::blob::{self, BlobKey};
use seal::escrow::Escrow;
use seal::{OpenError, Secret};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use vocab::{LetterId, RecordKind, Row, Timestamp};
use zeroize::Zeroizing;

/// Octets of all letters of one production.
pub const PRODUCTION_BYTES_MAX: u64 = 1_900 * 1024 * 1024;

/// Why the station did not open or keep a record.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// The evidence does not hold.
    #[error("the release is refused")]
    Refused(#[from] Refused),
    /// The shares do not open the account.
    #[error("the shares do not open the account")]
    NotCombined(#[from] NotCombined),
    /// The scope in the evidence is none of the desk's.
    #[error("the scope cannot be read")]
    Scope,
    /// The age key is not the one the order names.
    #[error("the age key is not the one that the officers signed for")]
    Recipient,
    /// A record does not open.
    #[error("a record does not open")]
    NotOpened(#[from] NotOpened),
    /// A letter's text does not open, or is not as long as its head says.
    #[error("a letter's text does not open")]
    Body(#[from] OpenError),
    /// What was opened is not what it should be.
    #[error("an opened record cannot be read")]
    Unreadable,
    /// What the server says is held is not what the order names.
    #[error("what is held is not what the order names")]
    Held,
    /// A sealed record that the order does not reach.
    #[error("a sealed record cannot be handed out")]
    NotReached(#[from] NotReached),
    /// No letter waits for this row.
    #[error("no letter waits for this text")]
    Unwanted,
    /// Letters whose text was not handed in.
    #[error("the text of {0} letters is missing")]
    Missing(usize),
    /// More than [`PRODUCTION_BYTES_MAX`].
    #[error("the production is too large; narrow the period")]
    TooLarge,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the scope.
    Kept,
    /// It is outside the scope, and was dropped.
    Dropped,
    /// The same letter is there already.
    Twice,
}

/// The head of a letter as it is sealed at arrival (specs/mail-rows.md); what the station
/// needs of it.
#[derive(Decode)]
struct Head {
    #[n(0)]
    length: u64,
    #[n(2)]
    mail_from: String,
    #[n(3)]
    rcpt_to: Vec<String>,
    #[n(5)]
    parsed: Parsed,
}

/// The message as parsed at its arrival.
#[derive(Decode)]
struct Parsed {
    #[cbor(n(0), with = "minicbor::bytes")]
    view: Vec<u8>,
}

/// A message row (specs/mail-rows.md); what the station needs of it.
#[derive(Decode)]
struct MessageRow<'a> {
    #[n(4)]
    received: u64,
    #[n(5)]
    size: u32,
    #[n(6)]
    letter_row: u64,
    #[cbor(n(7), with = "minicbor::bytes")]
    letter: [u8; 16],
    #[cbor(n(8), with = "minicbor::bytes")]
    body_key: [u8; 32],
    #[cbor(b(10), with = "minicbor::bytes")]
    view: &'a [u8],
}

/// A letter in the scope.
struct Letter {
    arrived: Timestamp,
    length: u64,
    key: Option<BlobKey>,
    body_row: u64,
    traffic: Traffic,
    text: Option<Vec<u8>>,
}

/// Who, when, how large: a record of traffic. No subject, no text, no display name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Traffic {
    arrived: u64,
    sent: Option<i64>,
    message_id: Option<String>,
    envelope_from: Option<String>,
    envelope_to: Vec<String>,
    from: Vec<String>,
    sender: Vec<String>,
    reply_to: Vec<String>,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    bytes: u64,
}

/// Where in the log the release is.
pub(crate) struct LogPlace {
    pub(crate) origin: String,
    pub(crate) index: u64,
}

impl LogPlace {
    pub(crate) fn of(logged: &Logged) -> Self {
        Self { origin: logged.origin.clone(), index: logged.index }
    }
}

/// What the station leaves when it closes.
pub struct Cut {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) index: Vec<ProducedRecord>,
    pub(crate) tally: Tally,
    pub(crate) scope: Scope,
    pub(crate) place: LogPlace,
    /// What is handed out sealed, if anything is.
    pub(crate) sealed: Option<SealedPart>,
    pub(crate) opened_at: Timestamp,
    pub(crate) closed_at: Timestamp,
}

impl Cut {
    /// How many records are produced.
    #[must_use]
    pub fn produced(&self) -> usize {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.inventory.len());
        self.index.len().saturating_add(sealed)
    }

    /// Adds what the cell knows of the subscriber; it must be just what the scope names.
    ///
    /// # Errors
    /// [`StationError::Held`].
    pub fn with_subscriber(
        mut self,
        known: &BTreeMap<SubscriberField, Value>,
    ) -> Result<Self, StationError> {
        if !known.keys().eq(&self.scope.fields) {
            return Err(StationError::Held);
        }
        if known.is_empty() {
            return Ok(self);
        }
        let file = "data/records/subscriber.json".to_owned();
        let octets = super::json(known).ok_or(StationError::Unreadable)?;
        let bytes = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        let category = "subscriber".to_owned();
        self.index.push(ProducedRecord { file: file.clone(), arrived: None, category, bytes });
        self.files.insert(file, octets);
        Ok(self)
    }
}

/// See the module.
pub struct Station {
    opening: Opening,
    scope: Scope,
    place: LogPlace,
    letters: BTreeMap<LetterId, Letter>,
    bytes: u64,
    opened_at: Timestamp,
}

impl Station {
    /// Checks the evidence, combines the shares, and opens.
    ///
    /// # Errors
    /// [`StationError::Refused`], [`StationError::NotCombined`], [`StationError::Scope`].
    pub fn open(
        evidence: &ReleaseEvidence,
        trust: &TrustPolicy,
        key: RecipientKey,
        escrows: &[Escrow],
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<Self, StationError> {
        let scope = Scope::from_text(&evidence.scope).map_err(|_| StationError::Scope)?;
        let release = evidence.verify(trust, now)?;
        if !super::agree(&scope, release.order()) {
            return Err(StationError::Scope);
        }
        let place = LogPlace::of(release.logged());
        let opening = release.open(key, escrows, answers, now)?;
        Ok(Self { opening, scope, place, letters: BTreeMap::new(), bytes: 0, opened_at: now })
    }

    /// The authority's age key as the server gave it, if it is the one the officers signed for.
    ///
    /// # Errors
    /// [`StationError::Recipient`].
    pub fn recipient(&self, text: &str) -> Result<Recipient, StationError> {
        super::recipient(text, self.opening.order())
    }

    /// Opens the head of a letter that is not folded yet. Its text, if wanted, lies under the
    /// same row.
    ///
    /// # Errors
    /// [`StationError::NotOpened`], [`StationError::Unreadable`].
    pub fn head(&mut self, row: Row, record: &[u8], now: Timestamp) -> Result<Taken, StationError> {
        let arrival = self.opening.letter(record, now)?;
        let plain = Zeroizing::new(arrival.head);
        let head: Head = minicbor::decode(&plain).map_err(|_| StationError::Unreadable)?;
        let arrived = arrival.header.arrived;
        let view: MessageView =
            minicbor::decode(&head.parsed.view).map_err(|_| StationError::Unreadable)?;
        let mut traffic = traffic(arrived, head.length, &view);
        traffic.envelope_from = Some(head.mail_from);
        traffic.envelope_to = head.rcpt_to;
        let (length, key, body_row) = (head.length, arrival.body_key, row.0);
        let letter = Letter { arrived, length, key, body_row, traffic, text: None };
        self.take(arrival.header.letter, letter)
    }

    /// Opens a message row.
    ///
    /// # Errors
    /// [`StationError::NotOpened`], [`StationError::Unreadable`].
    pub fn message(
        &mut self,
        row: Row,
        value: &[u8],
        now: Timestamp,
    ) -> Result<Taken, StationError> {
        let plain = self.opening.row(RecordKind::Message, row, value, now)?;
        let message: MessageRow<'_> =
            minicbor::decode(&plain).map_err(|_| StationError::Unreadable)?;
        let arrived = Timestamp(message.received);
        // specs/release-evidence.md §8: the time is inside, so it is looked at before all else.
        if !self.opening.order().covers(arrived) {
            return Ok(Taken::Dropped);
        }
        let view: MessageView =
            minicbor::decode(message.view).map_err(|_| StationError::Unreadable)?;
        let length = u64::from(message.size);
        let key = BlobKey::from_secret(Secret::copied(&message.body_key));
        let key = Some(key).filter(|_| self.scope.has_content());
        let traffic = traffic(arrived, length, &view);
        let body_row = message.letter_row;
        let letter = Letter { arrived, length, key, body_row, traffic, text: None };
        self.take(LetterId(message.letter), letter)
    }

    fn take(&mut self, id: LetterId, letter: Letter) -> Result<Taken, StationError> {
        if !self.names(&letter) {
            return Ok(Taken::Dropped);
        }
        if self.letters.contains_key(&id) {
            return Ok(Taken::Twice);
        }
        if self.scope.has_content() {
            self.bytes = self.bytes.saturating_add(letter.length);
        }
        if self.bytes > PRODUCTION_BYTES_MAX || self.letters.len() + 16 > FILES_MAX {
            return Err(StationError::TooLarge);
        }
        self.letters.insert(id, letter);
        Ok(Taken::Kept)
    }

    /// Whether the scope names the letter: its period, its correspondents, its id.
    fn names(&self, letter: &Letter) -> bool {
        let Scope { from, until, correspondents, message_ids, .. } = &self.scope;
        let traffic = &letter.traffic;
        let lists = [
            &traffic.from,
            &traffic.sender,
            &traffic.reply_to,
            &traffic.to,
            &traffic.cc,
            &traffic.bcc,
        ];
        let everyone = lists.into_iter().flatten().chain(&traffic.envelope_from);
        let known: BTreeSet<String> = everyone.map(|one| one.to_ascii_lowercase()).collect();
        let id = traffic.message_id.as_ref();
        (*from..*until).contains(&letter.arrived)
            && (correspondents.is_empty() || correspondents.iter().any(|one| known.contains(one)))
            && (message_ids.is_empty() || id.is_some_and(|id| message_ids.contains(id)))
    }

    /// The rows of the texts still wanted, ascending; none when the scope names no content.
    #[must_use]
    pub fn wanted(&self) -> Vec<Row> {
        let waiting = self.letters.values().filter(|one| one.key.is_some() && one.text.is_none());
        let rows: BTreeSet<u64> = waiting.map(|one| one.body_row).collect();
        rows.into_iter().map(Row).collect()
    }

    /// Opens a letter's text.
    ///
    /// # Errors
    /// [`StationError::Unwanted`], [`StationError::Body`].
    pub fn body(&mut self, row: Row, sealed: &[u8]) -> Result<(), StationError> {
        let account = self.scope.account;
        let mut found = false;
        for (id, letter) in self.letters.iter_mut().filter(|(_, one)| one.body_row == row.0) {
            let Some(key) = letter.key.as_ref().filter(|_| letter.text.is_none()) else { continue };
            let mut text = blob::open(key, &blob::body_context(account, *id), sealed)?;
            let length = usize::try_from(letter.length).map_err(|_| StationError::TooLarge)?;
            // What is beyond is padding (specs/bw1.md §7).
            if text.len() < length || text.iter().skip(length).any(|octet| *octet != 0) {
                return Err(StationError::Body(OpenError::Malformed));
            }
            text.truncate(length);
            letter.text = Some(text);
            found = true;
        }
        if found { Ok(()) } else { Err(StationError::Unwanted) }
    }

    /// Ends the opening; its keys are wiped. Letters are numbered by their arrival.
    ///
    /// # Errors
    /// [`StationError::Missing`] when a text was not handed in.
    pub fn close(self, now: Timestamp) -> Result<Cut, StationError> {
        let missing = self.wanted().len();
        if missing > 0 {
            return Err(StationError::Missing(missing));
        }
        let content = self.scope.has_content();
        let tally = self.opening.finish();
        let mut letters: Vec<(LetterId, Letter)> = self.letters.into_iter().collect();
        letters.sort_by_key(|(id, letter)| (letter.arrived, *id));
        let (mut files, mut index) = (BTreeMap::new(), Vec::new());
        for ((_, letter), number) in letters.into_iter().zip(1_u64..) {
            let (file, category, octets) = match letter.text.filter(|_| content) {
                Some(text) => (format!("data/eml/{number:06}.eml"), "content", text),
                None => {
                    let file = format!("data/records/{number:06}.json");
                    let octets = super::json(&letter.traffic).ok_or(StationError::Unreadable)?;
                    (file, "traffic", octets)
                }
            };
            index.push(ProducedRecord {
                file: file.clone(),
                arrived: Some(letter.arrived),
                category: category.to_owned(),
                bytes: u64::try_from(octets.len()).unwrap_or(u64::MAX),
            });
            files.insert(file, octets);
        }
        let (opened_at, closed_at) = (self.opened_at, now);
        let (scope, place) = (self.scope, self.place);
        let sealed = None;
        Ok(Cut { files, index, tally, scope, place, sealed, opened_at, closed_at })
    }
}

fn traffic(arrived: Timestamp, bytes: u64, view: &MessageView) -> Traffic {
    let envelope = &view.envelope;
    Traffic {
        arrived: arrived.0,
        sent: view.sent.map(|sent| sent.unix_seconds),
        message_id: view.message_id.clone(),
        envelope_from: None,
        envelope_to: Vec::new(),
        from: addresses(&envelope.from),
        sender: addresses(&envelope.sender),
        reply_to: addresses(&envelope.reply_to),
        to: addresses(&envelope.to),
        cc: addresses(&envelope.cc),
        bcc: addresses(&envelope.bcc),
        bytes,
    }
}

/// The addresses of a field, without names; a group's own name is none.
fn addresses(list: &[EnvelopeAddress]) -> Vec<String> {
    let one = |address: &EnvelopeAddress| {
        let (local, host) = (address.mailbox.as_ref()?, address.host.as_ref()?);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Some(format!("{}@{}", text(local), text(host)))
    };
    list.iter().filter_map(one).collect()
}
