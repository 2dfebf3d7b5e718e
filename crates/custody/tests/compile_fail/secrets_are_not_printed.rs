use bailiwick_custody::cell::CellKeys;
use bailiwick_custody::user::{AccountKeys, Created, NewUnlocker, Unlocked};
use bailiwick_custody::{Opening, RecipientKey, VerifiedRelease};

fn print<T: std::fmt::Debug>() {}

fn main() {
    print::<CellKeys>();
    print::<AccountKeys>();
    print::<Unlocked>();
    print::<Created>();
    print::<NewUnlocker>();
    print::<Opening>();
    print::<RecipientKey>();
    print::<VerifiedRelease>();
}
