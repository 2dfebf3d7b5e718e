//! IMAP transcripts, one file per matter; each begins with a new cell.

use crate::transcript::run;

macro_rules! transcripts {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run(include_str!(concat!("../imap/", stringify!($name), ".txt"))).await;
        }
    )*};
}

transcripts! {
    login
    states
    list
    mailboxes
    append
    fetch
    parts
    store
    search
    copy_and_move
    expunge
    two_sessions
    idle
    arrivals
    condstore
    objectid
    esearch
    rev2
    literals
    restart
    quota
}
