//! The limits of a command that hold whatever its case: lengths, lists, times.
//!
//! Invariant: no text, list or paper of a command is stored, or given to the law, before it was
//! found to keep its limits here.
//! Refs: specs/desk-command.md §3.

use crate::command::Command;
use crate::decision::REASON_BYTES_MAX;
use crate::demand::{DOCUMENT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::error::DeskError;
use crate::notice::UserNotice;
use crate::refusal::Fault;
use crate::secrecy::NonDisclosureOrder;
use vocab::Timestamp;

/// Octets of a word or two that the log has under salt, and of a means.
const WORD_BYTES_MAX: usize = 200;

impl Command {
    /// Whether the command keeps its limits, at a cell in this State and now. That it is signed,
    /// by whom, and whether its case allows it, is another question.
    ///
    /// # Errors
    /// [`DeskError::Text`], [`DeskError::Demand`], [`DeskError::Scope`].
    pub fn check(&self, place: law::Place, now: Timestamp) -> Result<(), DeskError> {
        match self {
            Self::Receive { demand, document, .. } => {
                demand.check(place, now)?;
                let whole = (1..=DOCUMENT_BYTES_MAX).contains(&document.len());
                if whole { Ok(()) } else { Err(DeskError::Demand(Fault::Paper)) }
            }
            Self::Decide { choice, .. } => {
                if choice.reason.as_ref().is_some_and(|why| why.len() > REASON_BYTES_MAX) {
                    return Err(DeskError::Text(REASON_BYTES_MAX));
                }
                choice.scope.as_ref().map_or(Ok(()), |scope| scope.to_text().map(drop))
            }
            Self::Narrow { scope, .. } => scope.to_text().map(drop),
            Self::Secrecy { order, .. } => bounded(order),
            Self::Notice { notice, .. } => match notice {
                UserNotice::Planned { .. } => Ok(()),
                UserNotice::Sent { means } => text(means, WORD_BYTES_MAX),
                UserNotice::Withheld { because } => text(because, TEXT_BYTES_MAX),
            },
            Self::Return { why, .. } | Self::HolderRefused { why, .. } => text(why, WORD_BYTES_MAX),
            Self::Deliver { means, .. } => text(means, WORD_BYTES_MAX),
            Self::Correct { why, .. }
            | Self::Stay { why, .. }
            | Self::Lift { why, .. }
            | Self::Withdraw { why, .. } => text(why, TEXT_BYTES_MAX),
            Self::Appeal { court, .. } => text(court, TEXT_BYTES_MAX),
            // What these hold is compared with the case, the register or the order.
            Self::Verify { .. }
            | Self::Assess { .. }
            | Self::Prepare { .. }
            | Self::Approve { .. }
            | Self::Holders { .. }
            | Self::Share { .. }
            | Self::Release { .. }
            | Self::Held { .. }
            | Self::Sealed { .. }
            | Self::Body { .. }
            | Self::Produce { .. }
            | Self::ProductionReceipt { .. }
            | Self::Close { .. }
            | Self::Preserve { .. }
            | Self::EndPreservation { .. }
            | Self::Letter { .. }
            | Self::Count { .. }
            | Self::Show { .. }
            | Self::Document { .. }
            | Self::DemandReceipt { .. }
            | Self::List { .. }
            | Self::EnrolAuthority { .. }
            | Self::ConfirmAuthority { .. }
            | Self::Register => Ok(()),
        }
    }
}

/// A text within its limit.
fn text(text: &str, max: usize) -> Result<(), DeskError> {
    if (1..=max).contains(&text.len()) { Ok(()) } else { Err(DeskError::Text(max)) }
}

/// A non-disclosure order within its limits.
pub(crate) fn bounded(order: &NonDisclosureOrder) -> Result<(), DeskError> {
    if order.is_bounded() { Ok(()) } else { Err(DeskError::Demand(Fault::SecrecyText)) }
}
