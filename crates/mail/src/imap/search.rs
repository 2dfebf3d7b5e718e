//! SEARCH.
//!
//! Every key is first asked of what is in memory and in the search index; only messages these
//! cannot decide are opened, on a blocking thread.
//!
//! Invariant: the work is bounded by the messages and the keys; no octet of a message leaves
//! this file.
//! Refs: RFC 9051 §6.4.4, §7.3.4; RFC 4731; RFC 5182; RFC 7162 §3.1.5; RFC 8474 §6.

use std::sync::Arc;

use imap_types::core::{AString, Charset};
use imap_types::datetime::NaiveDate;
use imap_types::search::SearchKey;
use proto::imap::{ReturnOption, SEARCHED_EMAIL, SEARCHED_THREAD, write};
use proto::message;

use super::objects;
use super::reply::Reply;
use super::selected::Selected;
use super::session::{Session, octets};
use super::set;
use crate::account::{Account, ReadBodyError};
use crate::cores;
use crate::mailbox::{Flags, Message, State};
use crate::search::index::{Answer, Index};
use crate::search::segment::SegmentError;
use crate::search::term::Pieces;
use crate::search::text::{Places, Texts, is_trace};

const DAY_SECONDS: i64 = 86_400;
/// Messages that one thread opens; more are shared out.
const OPENED_ALONE: usize = 64;
/// Search keys in one command.
const KEYS_MAX: usize = 1000;

/// A key ready to be asked of messages: sets resolved, texts as they are searched.
enum Key {
    Plain(Plain),
    Text(Text),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
}

/// A key that asks nothing of the message's text.
enum Plain {
    All,
    /// Places in the session's mailbox.
    Places(Vec<usize>),
    Recent,
    Flag(Flags),
    Keyword(Option<u16>),
    ModSeq(u64),
    /// RFC 8474 §6; `None` for what is no identifier of this server's.
    Email(Option<[u8; 16]>),
    Thread(Option<u64>),
    Larger(u32),
    Smaller(u32),
    /// INTERNALDATE in a range of days since 1970, the end excluded.
    Arrived(i64, i64),
    /// The Date field likewise.
    Sent(i64, i64),
}

/// A text to be looked for.
struct Text {
    places: Places,
    /// The field it is looked for in, if only in one.
    field: Option<Vec<u8>>,
    what: String,
    /// What the index says of it.
    answer: Option<Answer>,
}

/// What a key is asked of.
struct Asked<'a> {
    /// The place in the session's mailbox.
    place: usize,
    message: &'a Message,
    recent: bool,
    index: &'a Index,
    /// Its letter's number in the index, if it is there.
    number: Option<u32>,
}

/// What was found.
struct Found {
    /// Places in the session's mailbox, ascending, and the mod-sequences there.
    hits: Vec<(usize, u64)>,
    /// Messages the client still counts were gone, and so not looked at.
    is_behind: bool,
}

impl Session<'_> {
    pub(super) async fn search(
        &mut self,
        tag: &str,
        (charset, criteria, by_uid): (Option<&Charset<'_>>, &[SearchKey<'_>], bool),
        returned: Option<&[ReturnOption]>,
    ) -> Reply {
        let Some((account, selected)) = self.account.clone().zip(self.selected.as_ref()) else {
            return Reply::bad("select a mailbox first");
        };
        let known = |charset: &Charset<'_>| {
            let name = charset.as_ref();
            name.eq_ignore_ascii_case("UTF-8") || name.eq_ignore_ascii_case("US-ASCII")
        };
        if charset.is_some_and(|charset| !known(charset)) {
            return Reply::no("[BADCHARSET (UTF-8 US-ASCII)] not a charset known here");
        }
        let saves = returned.is_some_and(|options| options.contains(&ReturnOption::Save));
        let mut conditional = false;
        let key = {
            let Ok(state) = account.state() else { return Reply::no("[SERVERBUG] failed") };
            let mut build = Build {
                state: &state,
                selected,
                saved: &self.saved,
                keys: 0,
                conditional: &mut conditional,
            };
            build.and(criteria)
        };
        let key = match key {
            Ok(key) => key,
            Err(reply) => {
                // RFC 5182 §2.1: a SEARCH SAVE that fails leaves `$` empty.
                if saves {
                    self.saved.clear();
                }
                return reply;
            }
        };
        if conditional {
            self.enable_condstore();
        }
        let Some(selected) = self.selected.as_ref() else {
            return Reply::bad("select a mailbox first");
        };
        let found = match find(&account, selected, key).await {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
        self.answer_search(tag, by_uid, &found, returned, conditional);
        // RFC 5530 §3: the client may want to hear of it soon.
        Reply::ok(if found.is_behind { "[EXPUNGEISSUED] searched" } else { "searched" })
    }

    fn answer_search(
        &mut self,
        tag: &str,
        by_uid: bool,
        found: &Found,
        returned: Option<&[ReturnOption]>,
        conditional: bool,
    ) {
        let Some(selected) = self.selected.as_ref() else { return };
        let hits = &found.hits;
        let uids: Vec<u32> =
            hits.iter().filter_map(|(place, _)| selected.uids.get(*place)).copied().collect();
        let numbers = if by_uid {
            uids.clone()
        } else {
            let number = |(place, _): &(usize, u64)| u32::try_from(Selected::number(*place));
            hits.iter().filter_map(|hit| number(hit).ok()).collect()
        };
        let modseqs = hits.iter().filter(|_| conditional).map(|(_, modseq)| *modseq);
        let modseq = meant(returned.unwrap_or_default(), modseqs.collect()).into_iter().max();
        let options = match returned {
            None if !self.rev2 => {
                old_response(&mut self.out, &numbers, modseq);
                return;
            }
            None => &[ReturnOption::All],
            Some(options) => options,
        };
        if options.contains(&ReturnOption::Save) {
            self.saved = meant(options, uids);
        }
        if options != [ReturnOption::Save] {
            extended_response(&mut self.out, tag, by_uid, &numbers, options, modseq);
        }
    }
}

fn old_response(out: &mut Vec<u8>, numbers: &[u32], modseq: Option<u64>) {
    write::text(out, "* SEARCH");
    for number in numbers {
        write::text(out, &format!(" {number}"));
    }
    if let Some(modseq) = modseq {
        write::text(out, &format!(" (MODSEQ {modseq})"));
    }
    write::text(out, "\r\n");
}

fn extended_response(
    out: &mut Vec<u8>,
    tag: &str,
    by_uid: bool,
    numbers: &[u32],
    options: &[ReturnOption],
    modseq: Option<u64>,
) {
    write::text(out, "* ESEARCH (TAG ");
    write::string(out, tag.as_bytes());
    write::text(out, if by_uid { ") UID" } else { ")" });
    for option in options {
        match (option, numbers.first().zip(numbers.last())) {
            (ReturnOption::Count, _) => write::text(out, &format!(" COUNT {}", numbers.len())),
            // RFC 4731 §3.1: of nothing there is neither MIN nor MAX nor ALL.
            (_, None) | (ReturnOption::Save, _) => {}
            (ReturnOption::Min, Some((first, _))) => write::text(out, &format!(" MIN {first}")),
            (ReturnOption::Max, Some((_, last))) => write::text(out, &format!(" MAX {last}")),
            (ReturnOption::All, Some(_)) => {
                write::text(out, " ALL ");
                write::set(out, numbers.iter().copied());
            }
        }
    }
    if let Some(modseq) = modseq {
        write::text(out, &format!(" MODSEQ {modseq}"));
    }
    write::text(out, "\r\n");
}

/// Of what was found, what the options ask for: that is what `$` is after SAVE (RFC 5182 §2.4),
/// and whose highest mod-sequence is told (RFC 4731 §3.2).
fn meant<T: Copy + PartialEq>(options: &[ReturnOption], found: Vec<T>) -> Vec<T> {
    let all =
        options.iter().any(|option| matches!(option, ReturnOption::All | ReturnOption::Count));
    let (min, max) = (options.contains(&ReturnOption::Min), options.contains(&ReturnOption::Max));
    if all || !(min || max) {
        return found;
    }
    let first = found.first().filter(|_| min).copied();
    let last = found.last().filter(|_| max).copied().filter(|last| Some(*last) != first);
    first.into_iter().chain(last).collect()
}

/// Makes keys of what the client wrote.
struct Build<'a> {
    state: &'a State,
    selected: &'a Selected,
    saved: &'a [u32],
    keys: usize,
    conditional: &'a mut bool,
}

impl Build<'_> {
    fn and(&mut self, keys: &[SearchKey<'_>]) -> Result<Key, Reply> {
        keys.iter().map(|key| self.key(key)).collect::<Result<_, _>>().map(Key::And)
    }

    fn key(&mut self, key: &SearchKey<'_>) -> Result<Key, Reply> {
        self.keys += 1;
        if self.keys > KEYS_MAX {
            return Err(Reply::no("[LIMIT] too many search keys"));
        }
        let flag = |flag| Ok(Key::Plain(Plain::Flag(flag)));
        let no_flag = |flag| Ok(Key::Not(Box::new(Key::Plain(Plain::Flag(flag)))));
        match key {
            SearchKey::And(keys) => self.and(keys.as_ref()),
            SearchKey::Not(key) => Ok(Key::Not(Box::new(self.key(key)?))),
            SearchKey::Or(one, other) => {
                Ok(Key::Or(Box::new(self.key(one)?), Box::new(self.key(other)?)))
            }
            SearchKey::All => Ok(Key::Plain(Plain::All)),
            SearchKey::SequenceSet(set) => self.places(set, false),
            SearchKey::Uid(set) => self.places(set, true),
            SearchKey::Answered => flag(Flags::ANSWERED),
            SearchKey::Deleted => flag(Flags::DELETED),
            SearchKey::Draft => flag(Flags::DRAFT),
            SearchKey::Flagged => flag(Flags::FLAGGED),
            SearchKey::Seen => flag(Flags::SEEN),
            SearchKey::Unanswered => no_flag(Flags::ANSWERED),
            SearchKey::Undeleted => no_flag(Flags::DELETED),
            SearchKey::Undraft => no_flag(Flags::DRAFT),
            SearchKey::Unflagged => no_flag(Flags::FLAGGED),
            SearchKey::Unseen => no_flag(Flags::SEEN),
            SearchKey::Keyword(name) => Ok(self.keyword(name.as_ref())),
            SearchKey::Unkeyword(name) => Ok(Key::Not(Box::new(self.keyword(name.as_ref())))),
            SearchKey::Recent => Ok(Key::Plain(Plain::Recent)),
            SearchKey::Old => Ok(Key::Not(Box::new(Key::Plain(Plain::Recent)))),
            SearchKey::New => {
                let unseen = Key::Not(Box::new(Key::Plain(Plain::Flag(Flags::SEEN))));
                Ok(Key::And(vec![Key::Plain(Plain::Recent), unseen]))
            }
            SearchKey::Larger(octets) => Ok(Key::Plain(Plain::Larger(*octets))),
            SearchKey::Smaller(octets) => Ok(Key::Plain(Plain::Smaller(*octets))),
            SearchKey::Before(date) => Ok(Key::Plain(Plain::Arrived(i64::MIN, day(date)))),
            SearchKey::On(date) => Ok(Key::Plain(Plain::Arrived(day(date), day(date) + 1))),
            SearchKey::Since(date) => Ok(Key::Plain(Plain::Arrived(day(date), i64::MAX))),
            SearchKey::SentBefore(date) => Ok(Key::Plain(Plain::Sent(i64::MIN, day(date)))),
            SearchKey::SentOn(date) => Ok(Key::Plain(Plain::Sent(day(date), day(date) + 1))),
            SearchKey::SentSince(date) => Ok(Key::Plain(Plain::Sent(day(date), i64::MAX))),
            SearchKey::From(what) => text(Places::FROM, None, what),
            SearchKey::To(what) => text(Places::TO, None, what),
            SearchKey::Cc(what) => text(Places::CC, None, what),
            SearchKey::Bcc(what) => text(Places::BCC, None, what),
            SearchKey::Subject(what) => text(Places::SUBJECT, None, what),
            SearchKey::Body(what) => text(Places::BODY, None, what),
            SearchKey::Text(what) => text(Places::TEXT, None, what),
            SearchKey::Header(name, id) if octets(name) == SEARCHED_EMAIL.as_bytes() => {
                Ok(Key::Plain(Plain::Email(objects::letter_of(octets(id)))))
            }
            SearchKey::Header(name, id) if octets(name) == SEARCHED_THREAD.as_bytes() => {
                Ok(Key::Plain(Plain::Thread(objects::thread_of(octets(id)))))
            }
            SearchKey::Header(name, what) => {
                text(Places::HEADER, Some(octets(name).to_vec()), what)
            }
            SearchKey::ModSequence { modseq, .. } => {
                *self.conditional = true;
                Ok(Key::Plain(Plain::ModSeq(*modseq)))
            }
        }
    }

    fn places(&self, set: &imap_types::sequence::SequenceSet, by_uid: bool) -> Result<Key, Reply> {
        let places = set::places(set, by_uid, self.selected, self.saved);
        places
            .map(|places| Key::Plain(Plain::Places(places)))
            .map_err(|_| Reply::bad("no such message"))
    }

    fn keyword(&self, name: &str) -> Key {
        Key::Plain(Plain::Keyword(self.state.keywords.find(name)))
    }
}

fn day(date: &NaiveDate) -> i64 {
    let midnight = date.as_ref().and_hms_opt(0, 0, 0);
    midnight.map_or(0, |midnight| midnight.and_utc().timestamp().div_euclid(DAY_SECONDS))
}

fn text(places: Places, field: Option<Vec<u8>>, what: &AString<'_>) -> Result<Key, Reply> {
    let Ok(what) = core::str::from_utf8(octets(what)) else {
        return Err(Reply::no("[BADCHARSET (UTF-8)] not UTF-8"));
    };
    if what.is_empty() && field.is_none() {
        return Ok(Key::Plain(Plain::All));
    }
    let what = message::for_search(what);
    Ok(Key::Text(Text { places, field, what, answer: None }))
}

/// A message that has to be opened.
struct Undecided {
    place: usize,
    message: Message,
    recent: bool,
    number: Option<u32>,
}

async fn find(
    account: &Arc<Account>,
    selected: &Selected,
    key: Key,
) -> Result<Found, ReadBodyError> {
    let mut found = Found { hits: Vec::new(), is_behind: true };
    let (key, index) = answered(account, key).await?;
    let mut undecided = Vec::new();
    {
        let state = account.state().map_err(|_| ReadBodyError::Failed)?;
        let Some(held) = state.mailbox(selected.row) else { return Ok(found) };
        found.is_behind = selected.is_behind(held);
        let mut near = 0;
        for (place, uid) in selected.uids.iter().enumerate() {
            let Some(message) = held.message(*uid) else { continue };
            let recent = selected.is_recent(*uid);
            let number = index.number(message.letter_row, &mut near);
            let asked = Asked { place, message, recent, index: &index, number };
            match key.in_memory(&asked) {
                Some(true) => found.hits.push((place, message.modseq)),
                Some(false) => {}
                None => {
                    let message = message.clone();
                    undecided.push(Undecided { place, message, recent, number });
                }
            }
        }
    }
    if undecided.is_empty() {
        return Ok(found);
    }
    let account = Arc::clone(account);
    let open = move || open_and_ask(&account, &key, &index, &undecided);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|_| ReadBodyError::Failed)??;
    found.hits.extend(opened.hits);
    found.hits.sort_unstable();
    found.is_behind |= opened.is_behind;
    Ok(found)
}

/// The key with what the index says of its texts, and that index.
async fn answered(
    account: &Arc<Account>,
    mut key: Key,
) -> Result<(Key, Arc<Index>), ReadBodyError> {
    let mut texts = Vec::new();
    key.texts(&mut texts);
    if texts.is_empty() {
        return Ok((key, Arc::default()));
    }
    let account = Arc::clone(account);
    let ask = move || {
        let index = ask_index(&account, &mut key);
        (key, index)
    };
    tokio::task::spawn_blocking(ask).await.map_err(|_| ReadBodyError::Failed)
}

/// Asks the index of every text of a key; gives the index that answered.
fn ask_index(account: &Account, key: &mut Key) -> Arc<Index> {
    let mut texts = Vec::new();
    key.texts(&mut texts);
    loop {
        let index = account.index();
        let asked = texts.iter_mut().try_for_each(|text| text.ask(&index));
        match asked {
            Ok(()) => return index,
            // Without an index every message is opened.
            Err((_, SegmentError::Failed)) => return Arc::default(),
            // Replaced meanwhile, or left out from now on: the others are asked again.
            Err((row, error)) => account.leave_out(row, error),
        }
    }
}

/// Opens every message, on several cores if they are many.
fn open_and_ask(
    account: &Account,
    key: &Key,
    index: &Index,
    undecided: &[Undecided],
) -> Result<Found, ReadBodyError> {
    let parts: Vec<_> = undecided.chunks(OPENED_ALONE).collect();
    let parts = cores::share(parts.len(), |part| {
        parts.get(part).map(|part| open_some(account, key, index, part))
    });
    let mut found = Found { hits: Vec::new(), is_behind: false };
    for part in parts.ok_or(ReadBodyError::Failed)?.into_iter().flatten() {
        let part = part?;
        found.hits.extend(part.hits);
        found.is_behind |= part.is_behind;
    }
    Ok(found)
}

fn open_some(
    account: &Account,
    key: &Key,
    index: &Index,
    undecided: &[Undecided],
) -> Result<Found, ReadBodyError> {
    let mut found = Found { hits: Vec::new(), is_behind: false };
    for Undecided { place, message, recent, number } in undecided {
        let mut texts = match account.content(message.row) {
            Ok(content) => Texts::of(content),
            // Expunged meanwhile: it does not match.
            Err(ReadBodyError::Gone) => {
                found.is_behind = true;
                continue;
            }
            Err(ReadBodyError::Failed) => return Err(ReadBodyError::Failed),
        };
        let (place, recent, number) = (*place, *recent, *number);
        if key.opened(&Asked { place, message, recent, index, number }, &mut texts)? {
            found.hits.push((place, message.modseq));
        }
    }
    Ok(found)
}

impl Text {
    /// What the index is asked: fields that it does not know, and whether one is there, it is not.
    fn pieces(&self) -> Option<Pieces> {
        let Some(field) = &self.field else { return Some(Pieces::of(&self.what)) };
        if is_trace(field) || self.what.is_empty() {
            return None;
        }
        // Of another field it may be just as well.
        Some(Pieces { exact: false, ..Pieces::of(&self.what) })
    }

    fn ask(&mut self, index: &Index) -> Result<(), (u64, SegmentError)> {
        self.answer = match self.pieces() {
            Some(pieces) => index.ask(&pieces, self.places)?,
            None => None,
        };
        Ok(())
    }

    fn in_index(&self, asked: &Asked<'_>) -> Option<bool> {
        asked.index.says(self.answer.as_ref()?, asked.number?)
    }

    fn opened(&self, texts: &mut Texts) -> Result<bool, ReadBodyError> {
        match &self.field {
            Some(field) => texts.field_contains(field, &self.what),
            None => texts.contain(self.places, &self.what),
        }
    }
}

impl Plain {
    fn holds(&self, asked: &Asked<'_>) -> bool {
        let message = asked.message;
        match self {
            Self::All => true,
            Self::Places(places) => places.binary_search(&asked.place).is_ok(),
            Self::Recent => asked.recent,
            Self::Flag(flag) => message.flags.has(*flag),
            Self::Keyword(number) => number.is_some_and(|it| message.keywords.contains(&it)),
            Self::ModSeq(modseq) => message.modseq >= *modseq,
            Self::Email(letter) => letter.is_some_and(|letter| message.letter == letter),
            Self::Thread(thread) => thread.is_some_and(|thread| message.thread == thread),
            Self::Larger(octets) => message.size > *octets,
            Self::Smaller(octets) => message.size < *octets,
            Self::Arrived(from, to) => {
                let day = i64::try_from(message.received).unwrap_or(i64::MAX) / DAY_SECONDS;
                (*from..*to).contains(&day)
            }
            // RFC 9051 §6.4.4: without a Date field, the time it arrived.
            Self::Sent(from, to) => {
                let arrived = i64::try_from(message.received).unwrap_or(i64::MAX);
                let day = message.sent.unwrap_or(arrived).div_euclid(DAY_SECONDS);
                (*from..*to).contains(&day)
            }
        }
    }
}

impl Key {
    /// Adds every text there is in it.
    fn texts<'k>(&'k mut self, found: &mut Vec<&'k mut Text>) {
        match self {
            Self::Text(text) => found.push(text),
            Self::Not(key) => key.texts(found),
            Self::And(keys) => keys.iter_mut().for_each(|key| key.texts(found)),
            Self::Or(one, other) => {
                one.texts(found);
                other.texts(found);
            }
            Self::Plain(_) => {}
        }
    }

    /// The answer, if the memory or the index has it.
    fn in_memory(&self, asked: &Asked<'_>) -> Option<bool> {
        match self {
            Self::Text(text) => text.in_index(asked),
            Self::Not(key) => key.in_memory(asked).map(|answer| !answer),
            Self::And(keys) => {
                let mut all = Some(true);
                for key in keys {
                    match key.in_memory(asked) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Self::Or(one, other) => {
                let answers = [one, other].map(|key| key.in_memory(asked));
                match answers {
                    [Some(true), _] | [_, Some(true)] => Some(true),
                    [Some(false), Some(false)] => Some(false),
                    _ => None,
                }
            }
            Self::Plain(plain) => Some(plain.holds(asked)),
        }
    }

    fn opened(&self, asked: &Asked<'_>, texts: &mut Texts) -> Result<bool, ReadBodyError> {
        if let Some(answer) = self.in_memory(asked) {
            return Ok(answer);
        }
        match self {
            Self::Not(key) => Ok(!key.opened(asked, texts)?),
            Self::And(keys) => {
                for key in keys {
                    if !key.opened(asked, texts)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(one, other) => Ok(one.opened(asked, texts)? || other.opened(asked, texts)?),
            Self::Text(text) => text.opened(texts),
            Self::Plain(plain) => Ok(plain.holds(asked)),
        }
    }
}
