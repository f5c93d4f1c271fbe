//! A provider's stream, in each protocol: it gives the same however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opencode::provider::fuzz::{Protocol, heard};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let protocol = if first & 1 == 0 { Protocol::Anthropic } else { Protocol::OpenAi };
    let stride = usize::from(first >> 1) + 1;
    let whole = heard(protocol, [bytes].into_iter());
    let pieces = heard(protocol, bytes.chunks(stride));
    assert_eq!(whole, pieces);
});
