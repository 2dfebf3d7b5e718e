//! No secret type can be printed or copied: whoever adds such a trait breaks this build.

use std::fmt::{Debug, Display};

use seal::Secret;
use seal::age::Identity;
use seal::anchor::AnchorKey;
use seal::blob::{BlobKey, BlobOpener, BlobSealer};
use seal::epoch::EpochKeys;
use seal::escrow::Share;
use seal::holder::HolderKey;
use seal::hseal::SecretKey;
use seal::letter::{LetterSealer, OpenedHead};
use seal::mac::HmacKey;
use seal::root::{MasterKey, RootKey};
use seal::row::RowKeys;
use seal::run::{Run, Step};
use seal::sign::SigningKey;
use seal::slot::{SlotKey, Unlocker};
use seal::unlock::Unlocked;

/// Compiles only if the type does not implement the trait: otherwise both implementations of
/// `Either` apply, and the compiler cannot choose.
macro_rules! never {
    ($($type:ty),* => $trait:path) => {$(
        const _: fn() = || {
            trait Either<A> { fn chosen() {} }
            impl<T: ?Sized> Either<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $trait> Either<Implemented> for T {}
            let _ = <$type as Either<_>>::chosen;
        };
    )*};
}

macro_rules! secrets {
    ($($type:ty),* $(,)?) => {
        never!($($type),* => Debug);
        never!($($type),* => Display);
        never!($($type),* => Clone);
        never!($($type),* => AsRef<[u8]>);
        never!($($type),* => std::ops::Deref);
    };
}

secrets!(
    AnchorKey,
    BlobKey,
    BlobOpener,
    BlobSealer,
    EpochKeys,
    HmacKey,
    HolderKey,
    Identity,
    LetterSealer,
    Run,
    Step,
    MasterKey,
    OpenedHead,
    RootKey,
    RowKeys,
    Secret<32>,
    SecretKey,
    Share,
    SigningKey,
    SlotKey,
    Unlocked,
);

// An unlocker borrows what was typed; it may be copied, not shown.
never!(Unlocker<'static> => Debug);
never!(Unlocker<'static> => Display);

#[test]
fn secrets_are_compared_by_value() {
    let secret = Secret::copied(&[7; 32]);
    assert!(secret.ct_eq(&Secret::copied(&[7; 32])));
    assert!(!secret.ct_eq(&Secret::copied(&[8; 32])));
    let mut octets = [9; 32];
    assert_eq!(Secret::take(&mut octets).expose(), &[9; 32]);
    assert_eq!(octets, [0; 32]);
}
