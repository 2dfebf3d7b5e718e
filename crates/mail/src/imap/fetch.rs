//! FETCH.
//!
//! Flags, envelopes and sizes are in memory and written a thousand messages at a time; what
//! needs a row or a body is read on a blocking thread, a few messages at a time.
//!
//! Invariant: what is held for one answer is bounded; no lock is held while it is sent.
//! Refs: RFC 9051 §6.4.5, §7.5.2; RFC 7162 §3.1.4; RFC 3516 §4.2; RFC 8474 §5.

use core::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use imap_types::IntoStatic as _;
use imap_types::command::FetchModifier;
use imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_types::sequence::SequenceSet;
use proto::imap::{Objects, date, structure, write};
use proto::message::MessageView;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Closed;
use super::objects;
use super::reply::Reply;
use super::section;
use super::selected::{self, Selected};
use super::session::Session;
use super::set;
use crate::account::{Account, ChangeError, Content, IN_TRANSIT_OCTETS, ReadBodyError};
use crate::mailbox::{FlagChange, FlagSet, Flags, Message, State};

/// Messages answered from memory at a time.
const LIGHT_CHUNK: usize = 1000;
/// Messages answered from disk at a time, and the octets they may have together.
const HEAVY_CHUNK: usize = 32;
const HEAVY_OCTETS: u64 = 4 << 20;
/// Octets gathered before they are sent.
const FLUSH_OCTETS: usize = 64 * 1024;
/// Items in one FETCH.
const ITEMS_MAX: usize = 200;
/// How often the items of one FETCH may say a message over, and what comes on top.
const TIMES_MAX: usize = 3;
const ON_TOP_OCTETS: usize = 1 << 20;
/// Answers expected to be smaller need no room of the account's.
const SMALL_OCTETS: usize = 128 * 1024;

/// What is fetched of every message.
struct Plan {
    items: Vec<MessageDataItemName<'static>>,
    /// Needs the structure, or the octets: not in memory.
    heavy: bool,
    by_uid: bool,
    rev2: bool,
    /// What it asks for beside the items (RFC 8474).
    objects: Objects,
}

/// One message to be answered.
struct Target {
    number: usize,
    recent: bool,
    message: Message,
}

impl Session<'_> {
    pub(super) async fn fetch(
        &mut self,
        messages: &SequenceSet,
        wanted: &MacroOrMessageDataItemNames<'_>,
        by_uid: bool,
        modifiers: &[FetchModifier],
    ) -> Result<Reply, Closed> {
        let Some((account, selected)) = self.account.clone().zip(self.selected.as_ref()) else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        let mut changed_since = None;
        for modifier in modifiers {
            match modifier {
                FetchModifier::ChangedSince(modseq) => changed_since = Some(modseq.get()),
                FetchModifier::Vanished => return Ok(Reply::bad("VANISHED is not offered")),
            }
        }
        let Ok(mut places) = set::places(messages, by_uid, selected, &self.saved) else {
            return Ok(Reply::bad("no such message"));
        };
        let mut items = items(wanted);
        if items.is_empty() || items.len() > ITEMS_MAX {
            return Ok(Reply::bad("no items, or too many"));
        }
        if changed_since.is_some() || items.contains(&MessageDataItemName::ModSeq) {
            self.enable_condstore();
        }
        let Some(selected) = self.selected.as_ref() else {
            return Ok(Reply::bad("select a mailbox first"));
        };
        complete(&mut items, by_uid, changed_since.is_some());
        if let Some(since) = changed_since {
            places = newer(&account, selected, &places, since);
        }
        let marks = items.iter().any(marks_seen) && !selected.read_only;
        if marks && let Err(reply) = self.mark_seen(&account, &places).await {
            return Ok(reply);
        }
        let add_flags = marks && !items.contains(&MessageDataItemName::Flags);
        if add_flags {
            items.push(MessageDataItemName::Flags);
        }
        let heavy = items.iter().any(is_heavy);
        let (rev2, objects) = (self.rev2, self.objects);
        let plan = Arc::new(Plan { items, heavy, by_uid, rev2, objects });
        self.answer_all(&account, &places, &plan).await
    }

    /// Sets `\Seen` where a body is read without PEEK; the answer shows the flags.
    async fn mark_seen(&mut self, account: &Arc<Account>, places: &[usize]) -> Result<(), Reply> {
        let Some(selected) = self.selected.as_mut() else { return Ok(()) };
        let uids = places.iter().filter_map(|place| selected.uids.get(*place)).copied().collect();
        let set = FlagSet { flags: Flags::SEEN, keywords: Vec::new() };
        match account.store_flags(selected.row, uids, FlagChange::Add, set, None).await {
            Ok(stored) => {
                for (uid, modseq) in stored.changed {
                    selected.knows(uid, modseq);
                }
                Ok(())
            }
            // Reading goes on when the disk is full; the answer shows the flags as they stay.
            Err(ChangeError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn answer_all(
        &mut self,
        account: &Arc<Account>,
        places: &[usize],
        plan: &Arc<Plan>,
    ) -> Result<Reply, Closed> {
        let (mut gone, mut failed, mut undecodable, mut too_much) = (false, false, false, false);
        let mut rest = places;
        while !rest.is_empty() {
            let Some(selected) = self.selected.as_mut() else { break };
            let count = if plan.heavy { HEAVY_CHUNK } else { LIGHT_CHUNK };
            let (chunk, later) = rest.split_at(count.min(rest.len()));
            if plan.heavy {
                let (targets, taken) = targets(&mut self.out, account, selected, chunk);
                rest = rest.get(taken.max(1)..).unwrap_or_default();
                gone |= targets.len() < taken;
                let patience = self.context.limits.write;
                let Ok(room) = room(account, &targets, plan, patience).await else {
                    return Ok(Reply::no("[LIMIT] too much at once on this account"));
                };
                let (account, plan) = (Arc::clone(account), Arc::clone(plan));
                let answer = tokio::task::spawn_blocking(move || heavy(&account, &targets, &plan));
                let Ok(answer) = answer.await else {
                    return Ok(Reply::no("[SERVERBUG] the messages cannot be read"));
                };
                gone |= answer.gone;
                failed |= answer.failed;
                undecodable |= answer.undecodable;
                too_much |= answer.too_much;
                if self.out.is_empty() {
                    self.out = answer.out;
                } else {
                    self.out.extend_from_slice(&answer.out);
                }
                // Small answers go out with the tagged reply, in one segment.
                if self.out.len() >= FLUSH_OCTETS {
                    self.flush().await?;
                }
                drop(room);
            } else {
                rest = later;
                gone |= light(&mut self.out, account, selected, chunk, plan);
                if self.out.len() >= FLUSH_OCTETS {
                    self.flush().await?;
                }
            }
        }
        Ok(if failed {
            ReadBodyError::Failed.into()
        } else if too_much {
            Reply::no("[LIMIT] the items say the message over too often")
        } else if undecodable {
            Reply::no("[UNKNOWN-CTE] an encoding nobody knows")
        } else if gone && plan.by_uid {
            // RFC 9051 §6.4.9: a UID that is not there is no error.
            Reply::ok("[EXPUNGEISSUED] fetched")
        } else if gone {
            ReadBodyError::Gone.into()
        } else {
            Reply::ok("fetched")
        })
    }
}

/// Waits until the account has room for an answer; small ones need none.
async fn room(
    account: &Account,
    targets: &[Target],
    plan: &Plan,
    patience: Duration,
) -> Result<Option<OwnedSemaphorePermit>, NoRoom> {
    let octets: u64 = targets.iter().map(|target| u64::from(target.message.size)).sum();
    let times = plan.items.iter().filter(|item| is_heavy(item)).count().min(TIMES_MAX);
    let octets = usize::try_from(octets).unwrap_or(usize::MAX).saturating_mul(times);
    if octets <= SMALL_OCTETS {
        return Ok(None);
    }
    let octets = u32::try_from(octets.min(IN_TRANSIT_OCTETS)).unwrap_or(u32::MAX);
    let room = Arc::clone(account.in_transit()).acquire_many_owned(octets);
    match tokio::time::timeout(patience, room).await {
        Ok(Ok(room)) => Ok(Some(room)),
        Ok(Err(_)) | Err(_) => Err(NoRoom),
    }
}

/// There was no room for an answer.
struct NoRoom;

fn items(wanted: &MacroOrMessageDataItemNames<'_>) -> Vec<MessageDataItemName<'static>> {
    match wanted {
        MacroOrMessageDataItemNames::Macro(name) => {
            name.expand().into_iter().map(|item| item.into_static()).collect()
        }
        MacroOrMessageDataItemNames::MessageDataItemNames(items) => {
            let mut once = Vec::with_capacity(items.len());
            for item in items {
                let item = item.clone().into_static();
                // An identifier was rewritten into a UID, which may be asked for beside it.
                if item != MessageDataItemName::Uid || !once.contains(&item) {
                    once.push(item);
                }
            }
            once
        }
    }
}

/// What must be in the answer though it was not asked for.
fn complete(items: &mut Vec<MessageDataItemName<'static>>, by_uid: bool, conditional: bool) {
    // RFC 7162 §3.1.4.1: CHANGEDSINCE asks for MODSEQ.
    if conditional && !items.contains(&MessageDataItemName::ModSeq) {
        items.push(MessageDataItemName::ModSeq);
    }
    // RFC 9051 §6.4.9: a UID command's answers have the UID.
    if by_uid && !items.contains(&MessageDataItemName::Uid) {
        items.insert(0, MessageDataItemName::Uid);
    }
}

fn newer(account: &Account, selected: &Selected, places: &[usize], since: u64) -> Vec<usize> {
    let Ok(state) = account.state() else { return Vec::new() };
    let Some(held) = state.mailbox(selected.row) else { return Vec::new() };
    let is_newer = |place: &&usize| {
        let message = selected.uids.get(**place).and_then(|uid| held.message(*uid));
        message.is_some_and(|message| message.modseq > since)
    };
    places.iter().filter(is_newer).copied().collect()
}

fn marks_seen(item: &MessageDataItemName<'_>) -> bool {
    matches!(
        item,
        MessageDataItemName::BodyExt { peek: false, .. }
            | MessageDataItemName::Binary { peek: false, .. }
            | MessageDataItemName::Rfc822
            | MessageDataItemName::Rfc822Text
    )
}

fn is_heavy(item: &MessageDataItemName<'_>) -> bool {
    !matches!(
        item,
        MessageDataItemName::Envelope
            | MessageDataItemName::Flags
            | MessageDataItemName::InternalDate
            | MessageDataItemName::Rfc822Size
            | MessageDataItemName::Uid
            | MessageDataItemName::ModSeq
    )
}

/// The messages at places, as far as they fit one answer, and how many places were used.
fn targets(
    out: &mut Vec<u8>,
    account: &Account,
    selected: &mut Selected,
    places: &[usize],
) -> (Vec<Target>, usize) {
    let Ok(state) = account.state() else { return (Vec::new(), places.len()) };
    selected.tell_keywords(out, &state.keywords);
    let Some(held) = state.mailbox(selected.row) else { return (Vec::new(), places.len()) };
    let (mut targets, mut taken, mut octets) = (Vec::new(), 0, 0_u64);
    for place in places {
        taken += 1;
        let Some(uid) = selected.uids.get(*place) else { continue };
        let Some(message) = held.message(*uid) else { continue };
        octets += u64::from(message.size);
        let recent = selected.is_recent(*uid);
        targets.push(Target { number: place + 1, recent, message: message.clone() });
        if octets >= HEAVY_OCTETS {
            break;
        }
    }
    (targets, taken)
}

/// Answers from memory; tells whether a message was gone.
fn light(
    out: &mut Vec<u8>,
    account: &Account,
    selected: &mut Selected,
    places: &[usize],
    plan: &Plan,
) -> bool {
    let Ok(state) = account.state() else { return true };
    selected.tell_keywords(out, &state.keywords);
    let Some(held) = state.mailbox(selected.row) else { return !places.is_empty() };
    let mut gone = false;
    for place in places {
        let Some(message) = selected.uids.get(*place).and_then(|uid| held.message(*uid)) else {
            gone = true;
            continue;
        };
        begin(out, place + 1);
        for (at, item) in plan.items.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            let recent = !plan.rev2 && selected.is_recent(message.uid);
            in_memory(out, item, message, &state, recent);
        }
        identifiers(out, message, plan.objects);
        out.extend_from_slice(b")\r\n");
    }
    gone
}

/// What is asked for by RFC 8474 §5.
fn identifiers(out: &mut Vec<u8>, message: &Message, asked: Objects) {
    if asked.email {
        write::text(out, &format!(" EMAILID ({})", objects::email(message)));
    }
    if asked.thread {
        write::text(out, &format!(" THREADID ({})", objects::thread(message)));
    }
}

fn begin(out: &mut Vec<u8>, number: usize) {
    write::text(out, "* ");
    write::text(out, &number.to_string());
    write::text(out, " FETCH (");
}

fn in_memory(
    out: &mut Vec<u8>,
    item: &MessageDataItemName<'_>,
    message: &Message,
    state: &State,
    recent: bool,
) {
    match item {
        MessageDataItemName::Flags => selected::flags(out, message, &state.keywords, recent),
        MessageDataItemName::Uid => write::text(out, &format!("UID {}", message.uid)),
        MessageDataItemName::Envelope => {
            write::text(out, "ENVELOPE ");
            out.extend_from_slice(&message.envelope);
        }
        MessageDataItemName::InternalDate => {
            write::text(out, "INTERNALDATE ");
            write::text(out, &date::date_time(message.received));
        }
        MessageDataItemName::Rfc822Size => {
            write::text(out, &format!("RFC822.SIZE {}", message.size));
        }
        MessageDataItemName::ModSeq => write::text(out, &format!("MODSEQ ({})", message.modseq)),
        // `is_heavy` says which items come here.
        MessageDataItemName::Body
        | MessageDataItemName::BodyExt { .. }
        | MessageDataItemName::BodyStructure
        | MessageDataItemName::Rfc822
        | MessageDataItemName::Rfc822Header
        | MessageDataItemName::Rfc822Text
        | MessageDataItemName::Binary { .. }
        | MessageDataItemName::BinarySize { .. } => {}
    }
}

/// What reading a few messages gave.
#[derive(Default)]
struct Answer {
    out: Vec<u8>,
    gone: bool,
    failed: bool,
    undecodable: bool,
    too_much: bool,
}

fn heavy(account: &Account, targets: &[Target], plan: &Plan) -> Answer {
    let mut answer = Answer::default();
    for target in targets {
        let start = answer.out.len();
        begin(&mut answer.out, target.number);
        match whole(account, target, plan, &mut answer) {
            Ok(true) => {
                identifiers(&mut answer.out, &target.message, plan.objects);
                answer.out.extend_from_slice(b")\r\n");
            }
            Ok(false) => {
                answer.out.truncate(start);
                answer.too_much = true;
            }
            Err(error) => {
                // Half an answer is none.
                answer.out.truncate(start);
                answer.gone |= error == ReadBodyError::Gone;
                answer.failed |= error == ReadBodyError::Failed;
            }
        }
    }
    answer
}

/// The row, opened when first needed; the octets with it if an item wants them.
enum Opened {
    Not,
    View(Box<MessageView>),
    Content(Box<Content>),
}

impl Opened {
    fn view(&mut self, account: &Account, row: u64) -> Result<&MessageView, ReadBodyError> {
        if let Self::Not = self {
            *self = Self::View(Box::new(account.view(row)?));
        }
        match self {
            Self::View(view) => Ok(view),
            Self::Content(content) => Ok(&content.view),
            Self::Not => Err(ReadBodyError::Failed),
        }
    }

    fn content(&mut self, account: &Account, row: u64) -> Result<&Content, ReadBodyError> {
        if !matches!(self, Self::Content(_)) {
            *self = Self::Content(Box::new(account.content(row)?));
        }
        match self {
            Self::Content(content) => Ok(content),
            Self::View(_) | Self::Not => Err(ReadBodyError::Failed),
        }
    }
}

/// Answers one message; `false` if that is more than one answer may be.
fn whole(
    account: &Account,
    target: &Target,
    plan: &Plan,
    answer: &mut Answer,
) -> Result<bool, ReadBodyError> {
    let size = usize::try_from(target.message.size).unwrap_or(usize::MAX);
    let may_be = size.saturating_mul(TIMES_MAX).saturating_add(ON_TOP_OCTETS);
    let end = answer.out.len().saturating_add(may_be);
    let mut opened = Opened::Not;
    if plan.items.iter().any(|item| {
        !matches!(item, MessageDataItemName::Body | MessageDataItemName::BodyStructure)
            && is_heavy(item)
    }) {
        opened.content(account, target.message.row)?;
    }
    for (at, item) in plan.items.iter().enumerate() {
        if at > 0 {
            answer.out.push(b' ');
        }
        if is_heavy(item) {
            from_disk(account, target, item, &mut opened, answer)?;
        } else {
            let state = account.state().map_err(|_| ReadBodyError::Failed)?;
            let recent = target.recent && !plan.rev2;
            in_memory(&mut answer.out, item, &target.message, &state, recent);
        }
        if answer.out.len() > end {
            return Ok(false);
        }
    }
    Ok(true)
}

fn from_disk(
    account: &Account,
    target: &Target,
    item: &MessageDataItemName<'_>,
    opened: &mut Opened,
    answer: &mut Answer,
) -> Result<(), ReadBodyError> {
    let row = target.message.row;
    let out = &mut answer.out;
    match item {
        MessageDataItemName::Body => {
            write::text(out, "BODY ");
            structure::body(out, opened.view(account, row)?, false);
        }
        MessageDataItemName::BodyStructure => {
            write::text(out, "BODYSTRUCTURE ");
            structure::body(out, opened.view(account, row)?, true);
        }
        MessageDataItemName::BodyExt { section, partial, .. } => {
            section::label(out, section.as_ref(), *partial);
            out.push(b' ');
            let data = section::read(opened.content(account, row)?, section.as_ref(), *partial)?;
            body(out, data.as_deref());
        }
        MessageDataItemName::Rfc822 => {
            write::text(out, "RFC822 ");
            body(out, section::read(opened.content(account, row)?, None, None)?.as_deref());
        }
        MessageDataItemName::Rfc822Header => {
            write::text(out, "RFC822.HEADER ");
            let header = imap_types::fetch::Section::Header(None);
            let content = opened.content(account, row)?;
            body(out, section::read(content, Some(&header), None)?.as_deref());
        }
        MessageDataItemName::Rfc822Text => {
            write::text(out, "RFC822.TEXT ");
            let text = imap_types::fetch::Section::Text(None);
            body(out, section::read(opened.content(account, row)?, Some(&text), None)?.as_deref());
        }
        MessageDataItemName::Binary { section, partial, .. } => {
            return binary(opened.content(account, row)?, section, *partial, answer);
        }
        MessageDataItemName::BinarySize { section } => {
            let data = section::binary(opened.content(account, row)?, section, None)?;
            write::text(out, "BINARY.SIZE[");
            section::numbers(out, section);
            write::text(out, &format!("] {}", data.map_or(0, |data| data.len())));
        }
        // `is_heavy` says which items come here.
        MessageDataItemName::Envelope
        | MessageDataItemName::Flags
        | MessageDataItemName::InternalDate
        | MessageDataItemName::Rfc822Size
        | MessageDataItemName::Uid
        | MessageDataItemName::ModSeq => {}
    }
    Ok(())
}

/// RFC 3516 §4.2: a part with its transfer encoding undone.
fn binary(
    content: &Content,
    numbers: &[NonZeroU32],
    partial: Option<(u32, NonZeroU32)>,
    answer: &mut Answer,
) -> Result<(), ReadBodyError> {
    let out = &mut answer.out;
    write::text(out, "BINARY[");
    section::numbers(out, numbers);
    let origin = partial.map_or_else(String::new, |(from, _)| format!("<{from}>"));
    write::text(out, &format!("]{origin} "));
    if !section::is_decodable(&content.view, numbers) {
        answer.undecodable = true;
        write::text(out, "NIL");
        return Ok(());
    }
    match section::binary(content, numbers, partial)? {
        Some(data) if data.contains(&0) => write::literal8(out, &data),
        data => body(out, data.as_deref()),
    }
    Ok(())
}

/// An `nstring` that is a literal whenever there is something: clients expect bodies so.
fn body(out: &mut Vec<u8>, data: Option<&[u8]>) {
    match data {
        None => write::text(out, "NIL"),
        Some([]) => write::text(out, "\"\""),
        Some(data) => write::literal(out, data),
    }
}
