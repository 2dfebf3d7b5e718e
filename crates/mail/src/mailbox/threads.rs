//! Which messages belong together.
//!
//! A message is known by its links: hashes of its own id and of those it answers, each with the
//! subject. It joins the thread of a message it shares a link with; threads are never joined.
//!
//! Invariant: a message's thread is given once, when it comes in, and kept in its row.
//! Refs: specs/mail-rows.md §4.1; RFC 8621 §3; RFC 5256 §2.1; RFC 8474 §5.2.

use std::collections::HashMap;

use proto::message::MessageView;
use seal::mac::sha256;

/// Octets of a link.
const LINK_BYTES: usize = 8;
/// Links of one message.
const LINKS_MAX: usize = 32;

/// The links of a message, closest first.
pub(crate) fn links(view: &MessageView) -> Vec<u8> {
    let letters = view.base_subject.chars().filter(|char| !char.is_whitespace());
    let subject: String = letters.flat_map(char::to_lowercase).collect();
    let answered = view.in_reply_to.iter().rev().chain(view.references.iter().rev());
    let mut links: Vec<[u8; LINK_BYTES]> = Vec::new();
    for id in view.message_id.iter().chain(answered) {
        let parts: [&[u8]; 4] =
            [b"bailiwick.v1 thread\0", id.as_bytes(), b"\0", subject.as_bytes()];
        let link = sha256(&parts).0.first_chunk().copied().unwrap_or_default();
        if !links.contains(&link) {
            links.push(link);
        }
        if links.len() >= LINKS_MAX {
            break;
        }
    }
    links.concat()
}

fn each(links: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, _) = links.as_chunks::<LINK_BYTES>();
    whole.iter().map(|link| u64::from_be_bytes(*link))
}

/// What an account's threads are known by.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    /// Link to thread; the lowest, if a link is in several.
    known: HashMap<u64, u64>,
    /// What was read at opening, put into `known` when that is first asked: most sessions never do.
    read: Vec<(u64, u64)>,
}

impl Threads {
    /// A message of this thread is there.
    pub(crate) fn note(&mut self, thread: u64, links: &[u8]) {
        self.read.extend(each(links).map(|link| (link, thread)));
    }

    /// What was noted of other messages.
    pub(crate) fn join(&mut self, others: Self) {
        self.read.extend(others.read);
    }

    /// The threads of messages that come in one after another, the first as row `row`, each with
    /// its links.
    pub(crate) fn place<'a>(
        &mut self,
        row: u64,
        messages: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<u64> {
        for (link, thread) in self.read.drain(..) {
            let known = self.known.entry(link).or_insert(thread);
            *known = thread.min(*known);
        }
        // Those before it in this row of messages; nobody knows yet whether they will be written.
        let mut before: HashMap<u64, u64> = HashMap::new();
        let mut threads = Vec::new();
        for (row, links) in (row..).zip(messages) {
            let found = each(links)
                .find_map(|link| self.known.get(&link).into_iter().chain(before.get(&link)).min());
            let thread = found.copied().unwrap_or(row);
            for link in each(links) {
                let known = before.entry(link).or_insert(thread);
                *known = thread.min(*known);
            }
            threads.push(thread);
        }
        threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links_of(message: &str) -> Vec<u8> {
        links(&proto::message::parse(message.as_bytes()).0)
    }

    #[test]
    fn an_answer_joins_the_thread_it_answers_and_another_subject_does_not() {
        let first = links_of("Message-ID: <a@ie.example>\r\nSubject: Lunch\r\n\r\n");
        let answer = links_of(
            "Message-ID: <b@de.example>\r\nReferences: <a@ie.example>\r\nSubject: RE:  lunch\r\n\r\n",
        );
        let other = links_of(
            "Message-ID: <c@de.example>\r\nIn-Reply-To: <a@ie.example>\r\nSubject: Dinner\r\n\r\n",
        );
        let alone = links_of("Subject: Lunch\r\n\r\n");
        let mut threads = Threads::default();
        let all = [&first, &answer, &other, &alone];
        assert_eq!(threads.place(10, all.into_iter().map(Vec::as_slice)), [10, 10, 12, 13]);
        // Nothing is known of what was not written.
        assert_eq!(threads.place(20, [answer.as_slice()].into_iter()), [20]);
        threads.note(10, &first);
        assert_eq!(threads.place(30, [answer.as_slice()].into_iter()), [10]);
    }

    #[test]
    fn an_answer_that_came_before_what_it_answers_is_found_by_it() {
        let answer = links_of(
            "Message-ID: <b@de.example>\r\nIn-Reply-To: <a@ie.example>\r\nSubject: Re: x\r\n\r\n",
        );
        let first = links_of("Message-ID: <a@ie.example>\r\nSubject: x\r\n\r\n");
        let mut threads = Threads::default();
        threads.note(5, &answer);
        assert_eq!(threads.place(9, [first.as_slice()].into_iter()), [5]);
    }

    #[test]
    fn what_comes_together_is_placed_as_if_it_came_one_by_one() {
        let link = |id: u8| [id; LINK_BYTES].to_vec();
        // The second knows of the first, and belongs to an older thread by a closer link.
        let letters = [link(1), [link(2), link(9), link(1)].concat(), link(1)];
        let known = || {
            let mut threads = Threads::default();
            threads.note(5, &link(9));
            threads
        };
        let together = known().place(100, letters.iter().map(Vec::as_slice));
        let (mut threads, mut apart) = (known(), Vec::new());
        for (row, letter) in (100..).zip(&letters) {
            let placed = threads.place(row, core::iter::once(letter.as_slice()));
            placed.iter().for_each(|thread| threads.note(*thread, letter));
            apart.extend(placed);
        }
        assert_eq!((&together, &apart), (&vec![100, 5, 5], &together));
    }

    #[test]
    fn the_links_of_one_message_are_bounded() {
        let ids: String = (0..1000).map(|n| format!("<{n}@de.example>\r\n ")).collect();
        let message = format!("References: {ids}\r\nSubject: x\r\n\r\n");
        assert_eq!(links_of(&message).len(), LINKS_MAX * LINK_BYTES);
    }
}
