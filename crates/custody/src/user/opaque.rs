//! An account's OPAQUE password: registered in a session that may change unlockers, whose server
//! sees neither it nor what comes of it.
//!
//! Invariant: one such password for an account; a new one takes the old one's place.
//! Refs: specs/bw1.md §4.5.

use super::change::{ChangeError, Renewal};
use super::unlockers::{New, everything};
use super::{Changes, Unlocked};
use seal::Entropy;
use seal::slot::{SlotKind, SlotPublic};
use vocab::Timestamp;

impl Unlocked {
    /// A password registered with OPAQUE, in the place of the one there was. `public` is what the
    /// owner's program made of its registration ([`seal::slot::Unlocker::public`]).
    ///
    /// # Errors
    /// [`ChangeError::Taken`] for what is no OPAQUE password or has the identifier of another
    /// unlocker, and as [`Unlocked::set_password`].
    pub fn set_opaque(
        &mut self,
        public: SlotPublic,
        renewal: Renewal<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        if public.kind() != SlotKind::Opaque || self.is_taken(public.slot()) {
            return Err(ChangeError::Taken);
        }
        let gone = self.of_kind(SlotKind::Opaque);
        let new = New::Public(Box::new(public));
        self.add(new, &everything(), &gone, renewal, now, entropy).map(|(_, changes)| changes)
    }
}
