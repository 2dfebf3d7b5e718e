//! The packs this program is built with.
//!
//! Invariant: text only, compiled in; nothing is read from disk.
//! Refs: packs/README.md.

macro_rules! pack {
    ($place:literal: $($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../../packs/", $place, "/", $file)))),*]
    };
}

/// Each pack's files, by name.
pub(crate) const FILES: &[&[(&str, &str)]] = &[
    pack!("house": "pack.toml" "form.cedar"),
    pack!("eu": "pack.toml" "production.cedar" "preservation.cedar"),
    pack!("de": "pack.toml" "stock.cedar"),
    pack!("ie": "pack.toml" "foreign.cedar" "mutual.cedar"),
    pack!("ru": "pack.toml" "secrecy.cedar"),
    pack!("uk": "pack.toml" "claims.cedar"),
    pack!("us": "pack.toml" "stored.cedar" "reach.cedar" "secrecy.cedar"),
];
