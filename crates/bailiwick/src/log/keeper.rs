//! The one writer of this cell's log.
//!
//! Invariant: the store's `LogLeaf` rows are the log's journal: a leaf and its opening are there,
//! sealed, before the leaf is in a tile, so that a crash loses neither and repeats neither.
//! Refs: specs/log-entry.md §5; C2SP tlog-tiles, tlog-witness.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use custody::{Draft, Leaf, LeafOpening, LeafReceipt, Place, Written};
use mail::runtime::Clock;
use minicbor::{Decode, Encode};
use seal::Entropy;
use seal::row::RowKeys;
use store::{Append, Batch, Read};
use tlog::{
    AddCheckpoint, Log, NoteSigner, Resource, SEQUENCE_ENTRIES_MAX, SignedNote, TlogProof,
    VerifierKey, WitnessAnswer,
};
use tokio::sync::{Mutex, Notify};
use vocab::{AccountId, ModSeq, RecordKind, Row, Timestamp};

use super::files::Files;
use super::fork::{Forks, Stopped};
use crate::listen::{Stop, stopped};

/// How long a witness may take.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a witness failed to answer it is asked again.
const WITNESS_RETRY: Duration = Duration::from_secs(60);
/// Rounds of asking one witness: its idea of our size, then ours, then once more if it raced.
const WITNESS_ROUNDS: usize = 3;

/// A leaf to be written.
pub(crate) struct Item {
    pub(crate) draft: Draft,
    /// Sealed until this day.
    pub(crate) open_by: Option<Timestamp>,
    /// The desk's event that it is about.
    pub(crate) about: Option<Row>,
}

/// A leaf as the store keeps it.
#[derive(Encode, Decode)]
pub(super) struct Kept {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(super) leaf: Vec<u8>,
    /// The whole opening, as JSON.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(super) opening: Vec<u8>,
    #[n(2)]
    pub(super) about: Option<u64>,
}

/// Another cell, as a witness of this log.
pub(crate) struct WitnessPeer {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) key: VerifierKey,
}

/// What a keeper is made with.
pub(crate) struct KeeperOptions {
    pub(crate) files: Files,
    pub(crate) account: AccountId,
    pub(crate) rows: RowKeys,
    pub(crate) append: Append,
    pub(crate) read: Read,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) witnesses: Vec<WitnessPeer>,
}

pub(super) struct State {
    pub(super) log: Log,
    /// The newest checkpoint, with the cosignatures it has so far.
    note: SignedNote,
    /// The month and number of the last leaf.
    place: Option<Place>,
    /// How large each witness last saw the log.
    seen: Vec<u64>,
    /// Why each witness did not cosign when it was last asked.
    refusals: Vec<Option<String>>,
    pub(super) forks: Forks,
}

/// Leaves that are about to be written together.
struct Page {
    /// The index of the next leaf.
    next: u64,
    place: Option<Place>,
    leaves: Vec<Vec<u8>>,
    rows: Vec<(Row, Vec<u8>)>,
}

impl Page {
    fn after(state: &State) -> Self {
        let next = state.log.checkpoint().size;
        Self { next, place: state.place, leaves: Vec::new(), rows: Vec::new() }
    }

    fn batch(&self, account: AccountId) -> Batch {
        self.rows.iter().fold(Batch::new(account), |batch, (row, sealed)| {
            let batch = batch.require_absent(RecordKind::LogLeaf, *row);
            batch.put(RecordKind::LogLeaf, *row, sealed.clone())
        })
    }
}

/// See the module.
pub(crate) struct Keeper {
    pub(super) options: KeeperOptions,
    pub(super) http: reqwest::Client,
    pub(super) state: Mutex<State>,
    grown: Notify,
}

impl Keeper {
    /// Takes up the log where it stopped: leaves that the store has and no tile are written now,
    /// unless a fork forbids it.
    pub(crate) fn open(signer: NoteSigner, options: KeeperOptions) -> Result<Self> {
        // A witness must not choose what this host asks of its own network.
        let http = reqwest::Client::builder()
            .timeout(WITNESS_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let seen = vec![0; options.witnesses.len()];
        let refusals = vec![None; options.witnesses.len()];
        let forks = Forks::open(options.files.forks())?;
        let (log, note) = open_log(signer, &options.files)?;
        let mut state = State { log, note, place: None, seen, refusals, forks };
        if state.forks.is_stopped() {
            tracing::error!("the log is stopped by a fork; see `bailiwick admin log`");
        } else {
            recover(&options, &mut state)?;
        }
        Ok(Self { options, http, state: Mutex::new(state), grown: Notify::new() })
    }

    /// Writes leaves; they are durable and covered by a signed checkpoint when this returns
    /// their indexes. The witnesses are asked afterwards, by [`Keeper::cosign`].
    pub(crate) async fn append(&self, items: Vec<Item>) -> Result<Vec<u64>> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.state.lock().await;
        if state.forks.is_stopped() {
            bail!(Stopped);
        }
        self.append_to(&mut state, items).await
    }

    /// As [`Keeper::append`], with the lock held and whether or not the log is stopped.
    pub(super) async fn append_to(&self, state: &mut State, items: Vec<Item>) -> Result<Vec<u64>> {
        let now = self.options.clock.now();
        let closed = month_closed(state.place, now);
        let added = usize::from(closed.is_some());
        let mut page = Page::after(state);
        for item in closed.into_iter().chain(items) {
            self.write(&mut page, item, now)?;
        }
        // A leaf is never written over: if one is there, an earlier attempt is to be recovered.
        let stored = self.options.append.commit(page.batch(self.options.account)).await;
        stored.context("the leaves were not stored")?;
        state.place = page.place;
        for leaves in page.leaves.chunks(SEQUENCE_ENTRIES_MAX) {
            publish(&self.options.files, state, leaves)?;
        }
        self.grown.notify_one();
        let indexes = page.rows.into_iter().map(|(row, _)| row.0);
        Ok(indexes.skip(added).collect())
    }

    fn write(&self, page: &mut Page, item: Item, now: Timestamp) -> Result<()> {
        let place = next_place(page.place, now);
        let Written { leaf, opening } =
            item.draft.write(place, item.open_by, self.options.entropy.as_ref())?;
        let leaf = leaf.encode()?.to_vec();
        let kept = Kept {
            leaf: leaf.clone(),
            opening: serde_json::to_vec(&opening)?,
            about: item.about.map(|row| row.0),
        };
        let row = Row(page.next);
        page.rows.push((row, self.seal(row, &kept)?));
        page.leaves.push(leaf);
        page.place = Some(place);
        page.next += 1;
        Ok(())
    }

    fn seal(&self, row: Row, kept: &Kept) -> Result<Vec<u8>> {
        let plain =
            minicbor::to_vec(kept).map_err(|_| anyhow::anyhow!("a leaf was not encoded"))?;
        let entropy = self.options.entropy.as_ref();
        Ok(self.options.rows.seal(RecordKind::LogLeaf, row, ModSeq(0), &plain, entropy)?)
    }

    /// Asks the witnesses whenever the log has grown, and again while one has not answered.
    pub(crate) async fn run(&self, stop: Stop) {
        let stopping = stopped(stop);
        tokio::pin!(stopping);
        loop {
            let missing = self.options.witnesses.len() - self.cosign().await;
            let wait = if missing == 0 { Duration::MAX } else { WITNESS_RETRY };
            tokio::select! {
                () = &mut stopping => return,
                () = self.grown.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Asks every witness that has not cosigned the newest checkpoint; returns how many have.
    pub(crate) async fn cosign(&self) -> usize {
        for (number, witness) in self.options.witnesses.iter().enumerate() {
            let asked = self.ask(number, witness).await;
            let refusal = asked.err().map(|error| format!("{error:#}"));
            if let Some(error) = &refusal {
                tracing::warn!(witness = witness.name, error, "no cosignature");
            }
            if let Some(last) = self.state.lock().await.refusals.get_mut(number) {
                *last = refusal;
            }
        }
        self.cosigned_by().await.len()
    }

    /// Why each witness that did not cosign when it was last asked did not.
    pub(crate) async fn refusals(&self) -> Vec<(String, String)> {
        let state = self.state.lock().await;
        let each = self.options.witnesses.iter().zip(&state.refusals);
        each.filter_map(|(witness, why)| Some((witness.name.clone(), why.clone()?))).collect()
    }

    async fn ask(&self, number: usize, witness: &WitnessPeer) -> Result<()> {
        for _ in 0..WITNESS_ROUNDS {
            let (request, size) = {
                let state = self.state.lock().await;
                if state.forks.is_stopped() {
                    bail!(Stopped);
                }
                if state.note.signatures().iter().any(|line| witness.key.claims(line)) {
                    return Ok(());
                }
                let size = state.log.checkpoint().size;
                let old_size = state.seen.get(number).copied().unwrap_or(0).min(size);
                let proof = tlog::consistency_proof(&self.options.files, old_size, size)?;
                (AddCheckpoint { old_size, proof, note: state.note.clone() }, size)
            };
            let (status, body) = self.post(&witness.url, request.encode()).await?;
            let keys = std::slice::from_ref(&witness.key);
            match tlog::read_answer(status, &body, &request.note, keys)? {
                WitnessAnswer::Cosigned(lines) => {
                    let mut state = self.state.lock().await;
                    self.saw(&mut state, number, size);
                    if state.note.text_unverified() != request.note.text_unverified() {
                        continue;
                    }
                    for line in lines {
                        state.note.add(line)?;
                    }
                    self.options.files.write_all(&[tlog::Write::checkpoint(&state.note)])?;
                    return Ok(());
                }
                // A size or a status alone anyone can give. What this log signed it cannot deny.
                WitnessAnswer::Conflict { size: theirs } if theirs > size => {
                    self.stop_if_forked(witness).await?;
                    bail!("the witness claims leaves that this log never signed");
                }
                WitnessAnswer::Refused { status: 422 } => {
                    self.stop_if_forked(witness).await?;
                    bail!("the witness says that the log does not continue, and cannot show it");
                }
                WitnessAnswer::Conflict { size: theirs } => {
                    let mut state = self.state.lock().await;
                    self.saw(&mut state, number, theirs);
                }
                WitnessAnswer::Refused { status } => bail!("the witness refused with {status}"),
            }
        }
        bail!("the witness kept changing its mind")
    }

    fn saw(&self, state: &mut State, number: usize, size: u64) {
        if let Some(seen) = state.seen.get_mut(number) {
            *seen = size;
        }
    }

    async fn post(&self, url: &str, body: String) -> Result<(u16, Vec<u8>)> {
        let url = format!("{}/witness/add-checkpoint", url.trim_end_matches('/'));
        answer(self.http.post(url).body(body)).await
    }

    /// The names of the witnesses that cosigned the newest checkpoint.
    pub(crate) async fn cosigned_by(&self) -> Vec<String> {
        let state = self.state.lock().await;
        let signed = |witness: &&WitnessPeer| {
            state.note.signatures().iter().any(|line| witness.key.claims(line))
        };
        self.options.witnesses.iter().filter(signed).map(|w| w.key.name().to_owned()).collect()
    }

    /// The desk's events that leaves are about, with the leaves' indexes and whether they were
    /// written sealed.
    pub(crate) fn abouts(&self) -> Result<Vec<(Row, u64, bool)>> {
        let rows = self.options.read.scan(self.options.account, RecordKind::LogLeaf, Row(0));
        let mut abouts = Vec::new();
        for found in rows {
            let (row, _) = found?;
            let Some(kept) = kept(&self.options, row)? else { continue };
            let Some(event) = kept.about else { continue };
            abouts.push((Row(event), row.0, Leaf::decode(&kept.leaf)?.act.is_none()));
        }
        Ok(abouts)
    }

    /// Nothing is added to the log as long as what this returns lives.
    pub(crate) async fn hold_still(&self) -> impl Sized + '_ {
        self.state.lock().await
    }

    /// The newest checkpoint, with its cosignatures.
    pub(crate) async fn note(&self) -> SignedNote {
        self.state.lock().await.note.clone()
    }

    /// The log's public key.
    pub(crate) async fn key(&self) -> VerifierKey {
        self.state.lock().await.log.verifier_key().clone()
    }

    /// The receipt of a leaf, with its whole opening; the caller hides what its reader may not
    /// see.
    pub(crate) async fn receipt(&self, index: u64) -> Result<LeafReceipt> {
        let (note, size) = {
            let state = self.state.lock().await;
            (state.note.clone(), state.log.checkpoint().size)
        };
        let path = tlog::inclusion_proof(&self.options.files, size, index)?;
        let kept = kept(&self.options, Row(index))?.context("the log has no such leaf")?;
        let opening: LeafOpening = serde_json::from_slice(&kept.opening)?;
        let proof = TlogProof { extra: None, index, path, note }.encode();
        Ok(LeafReceipt { leaf: kept.leaf, opening, proof })
    }
}

/// A witness's answer, within its limit.
pub(super) async fn answer(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>)> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let mut octets = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        octets.extend_from_slice(&chunk);
        anyhow::ensure!(octets.len() <= tlog::NOTE_BYTES_MAX, "the answer is too large");
    }
    Ok((status, octets))
}

fn open_log(signer: NoteSigner, files: &Files) -> Result<(Log, SignedNote)> {
    if let Some(octets) = files.read(&Resource::Checkpoint)? {
        let log = Log::open(signer, &octets, files).context("the log's files are damaged")?;
        return Ok((log, SignedNote::parse(&octets)?));
    }
    // A log is begun once. A lost checkpoint is not a reason to begin it again.
    anyhow::ensure!(files.is_empty(), "the log has tiles but no checkpoint; restore it");
    let (log, first) = Log::create(signer)?;
    files.write_all(&first.writes)?;
    Ok((log, first.note))
}

pub(super) fn kept(options: &KeeperOptions, row: Row) -> Result<Option<Kept>> {
    let Some(sealed) = options.read.get(options.account, RecordKind::LogLeaf, row)? else {
        return Ok(None);
    };
    let (_, plain) = options.rows.open(RecordKind::LogLeaf, row, &sealed)?;
    Ok(Some(minicbor::decode(&plain)?))
}

pub(super) fn recover(options: &KeeperOptions, state: &mut State) -> Result<()> {
    let size = state.log.checkpoint().size;
    if let Some(last) = size.checked_sub(1) {
        let kept = kept(options, Row(last))?.context("the store lacks the log's last leaf")?;
        state.place = Some(Leaf::decode(&kept.leaf)?.place);
    }
    let mut leaves = Vec::new();
    for index in size.. {
        let Some(kept) = kept(options, Row(index))? else { break };
        state.place = Some(Leaf::decode(&kept.leaf)?.place);
        leaves.push(kept.leaf);
    }
    let batches = leaves.chunks(SEQUENCE_ENTRIES_MAX);
    batches.into_iter().try_for_each(|batch| publish(&options.files, state, batch))
}

fn publish(files: &Files, state: &mut State, leaves: &[Vec<u8>]) -> Result<()> {
    let entries: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    let sequenced = state.log.sequence(&entries)?;
    if let Err(error) = files.write_all(&sequenced.writes) {
        // What is on disk is not known now; the next start reads it and goes on from there.
        tracing::error!(%error, "the log could not be written; the cell stops");
        std::process::abort();
    }
    state.note = sequenced.note;
    for write in &sequenced.writes {
        files.drop_partials(&write.resource);
    }
    Ok(())
}

/// The first leaf of every month but the log's first says how many the last one had
/// (specs/log-entry.md §5.1).
fn month_closed(last: Option<Place>, now: Timestamp) -> Option<Item> {
    let last = last.filter(|last| last.month < month(now))?;
    let draft = custody::acts::month_closed(now, last.seq);
    Some(Item { draft, open_by: None, about: None })
}

/// The next leaf's month and number: from 1 in every month, in UTC.
fn next_place(last: Option<Place>, now: Timestamp) -> Place {
    let month = month(now);
    match last {
        Some(last) if last.month >= month => Place { month: last.month, seq: last.seq + 1 },
        Some(_) | None => Place { month, seq: 1 },
    }
}

fn month(at: Timestamp) -> u32 {
    // Epochs count months from January 2000, which is 1.
    let months = seal::epoch::epoch_of(at).0.saturating_sub(1);
    (2000 + months / 12) * 100 + months % 12 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_numbered_from_1_in_every_month() {
        let november = Timestamp(1_795_219_200);
        let first = next_place(None, november);
        assert_eq!(first, Place { month: 202_611, seq: 1 });
        assert_eq!(next_place(Some(first), november), Place { month: 202_611, seq: 2 });
        let december = Timestamp(november.0 + 15 * 86_400);
        assert_eq!(next_place(Some(first), december), Place { month: 202_612, seq: 1 });
    }

    #[test]
    fn a_clock_that_steps_back_over_a_month_does_not_number_twice() {
        let last = Place { month: 202_611, seq: 9 };
        let october = Timestamp(1_795_219_200 - 40 * 86_400);
        assert_eq!(next_place(Some(last), october), Place { month: 202_611, seq: 10 });
    }
}
