//! A session's log with any bytes in it: it is read as far as it is whole or refused in words, and
//! where a turn can begin, what it tells is found again behind what was there.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use opencode::event::Body;
use opencode::id::Ids;
use opencode::session::store::{Head, Store, StoreError};
use opencode::transcript::Transcript;

struct Place {
    store: Store,
    session: String,
    folder: PathBuf,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("opencode-fuzz-{}", std::process::id()));
        let store = Store::in_folder(&folder).unwrap();
        let session = Ids::default().next();
        store.create(&Head::new(session.clone(), "fuzz".to_owned())).unwrap();
        Place { store, session, folder }
    })
}

/// A log of these bytes. Where the first one says so each line becomes a record with a right
/// checksum, which chance would never find.
fn log(bytes: &[u8]) -> Vec<u8> {
    let Some((&first, rest)) = bytes.split_first() else { return Vec::new() };
    if first & 1 == 0 {
        return rest.to_vec();
    }
    let mut log = b"opencode-log 1\n".to_vec();
    for line in rest.split(|&byte| byte == b'\n') {
        log.extend_from_slice(format!("{:08x} ", crc32fast::hash(line)).as_bytes());
        log.extend_from_slice(line);
        log.push(b'\n');
    }
    if first & 2 != 0 {
        log.truncate(log.len().saturating_sub(usize::from(first >> 2)));
    }
    log
}

/// Whether the records that are whole come in the order of their ids and none has a later event
/// than it says, as in every log that the program wrote: only damage is to be expected of it.
fn is_in_order(log: &[u8], last_event: u64) -> bool {
    let ids = log.split(|&byte| byte == b'\n').skip(1).filter_map(|line| {
        let (sum, rest) = line.split_at_checked(9)?;
        let sum = u32::from_str_radix(std::str::from_utf8(&sum[..8]).ok()?, 16).ok()?;
        let id = rest.split(|&byte| byte == b' ').next()?;
        let id: u64 = std::str::from_utf8(id).ok()?.parse().ok()?;
        (sum == crc32fast::hash(rest)).then_some(id)
    });
    let ids: Vec<_> = ids.collect();
    ids.is_sorted_by(|a, b| a < b) && ids.last().is_none_or(|&last| last_event <= last)
}

fuzz_target!(|bytes: &[u8]| {
    let Place { store, session, folder } = place();
    let file = |kind: &str| folder.join("sessions").join(format!("{session}.{kind}"));
    let log = log(bytes);
    std::fs::write(file("log"), &log).unwrap();
    let _ = std::fs::remove_file(file("head"));
    let _ = std::fs::remove_file(folder.join("running").join(session));

    let _ = store.head(session);
    let mut last = 0;
    let mut count = 0;
    let mut transcript = Transcript::default();
    if let Ok(events) = store.read(session, 0) {
        for event in events {
            let Ok(event) = event else { break };
            last = event.id.max(last);
            count += 1;
            transcript.apply(&event.body);
        }
    }
    let _ = transcript.into_messages();
    if last > 1 && let Ok(events) = store.read(session, last - 1) {
        assert!(events.filter_map(Result::ok).count() <= count);
    }

    let mut lease = match store.acquire(session) {
        Ok(lease) => lease,
        Err(StoreError::Busy) => panic!("nobody has it"),
        Err(_) => return,
    };
    let told = Body::Text { content: "after all".to_owned() };
    if store.append(&mut lease, vec![told.clone()]).is_err() {
        return;
    }
    if store.release(lease, Vec::new()).is_err() {
        return;
    }
    if !is_in_order(&log, last) {
        return;
    }
    let Ok(events) = store.read(session, last) else { panic!("it could be written") };
    let after: Vec<_> = events.map(|event| event.unwrap()).collect();
    assert_eq!(after.last().map(|event| &event.body), Some(&told));
    assert!(after.iter().all(|event| event.id > last));
});
