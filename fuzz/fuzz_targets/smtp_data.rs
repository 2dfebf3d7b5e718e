//! The DATA stream: its end does not depend on how it is cut, and stuffing is undone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::smtp::{DataDecoder, DotStuffer};

fuzz_target!(|data: &[u8]| {
    let mut whole = DataDecoder::new();
    let mut message = Vec::new();
    let piece = whole.decode(data, &mut message);

    let mut cut = DataDecoder::new();
    let (mut pieces, mut consumed, mut ended) = (Vec::new(), 0, false);
    for octet in data {
        if ended {
            break;
        }
        let piece = cut.decode(&[*octet], &mut pieces);
        consumed += piece.consumed;
        ended = piece.ended;
    }
    assert_eq!((consumed, ended, cut.error()), (piece.consumed, piece.ended, whole.error()));
    assert_eq!(pieces, message);

    if piece.ended && whole.error().is_none() {
        let mut wire = Vec::new();
        let mut stuffer = DotStuffer::new();
        stuffer.stuff(&message, &mut wire);
        stuffer.finish(&mut wire);
        let mut again = Vec::new();
        let piece = DataDecoder::new().decode(&wire, &mut again);
        assert!(piece.ended && piece.consumed == wire.len());
        assert_eq!(again, message);
    }
});
