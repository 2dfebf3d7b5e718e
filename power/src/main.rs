//! A folder on a disk in memory whose power can be cut.
//!
//! `powerdisk FOLDER` mounts itself there and says `ready`. A line `cut SEED` on standard input
//! loses what was not synced, and is answered with a line that says what; at the end of input it is
//! unmounted. Needs Linux, FUSE, and to be root.
//!
//! Invariant: the same seed and the same calls before lose the same.
//! Refs: docs/plan.md; `./x power`.

mod disk;
mod mount;

use fuser::{Config, MountOption};
use std::io::{BufRead as _, Error};
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::other("usage: powerdisk FOLDER"))?;
    let disk = Arc::new(Mutex::new(disk::Disk::new()));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("powerdisk".to_owned())];
    let session = fuser::spawn_mount(mount::Mounted(disk.clone()), &folder, &config)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let seed = line.strip_prefix("cut ").and_then(|seed| seed.parse().ok());
        let seed = seed.ok_or_else(|| Error::other("say `cut SEED`"))?;
        let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = disk.cut(&mut disk::Chance(seed));
        println!(
            "cut: {} writes were not synced, {} names, {} of those lost",
            cut.writes, cut.names, cut.lost_names
        );
    }
    session.umount_and_join()
}
