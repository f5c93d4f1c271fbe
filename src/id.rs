//! Identifiers of sessions and messages: 48 bits of milliseconds and 128 random bits.
//!
//! Thirty-six lower-case characters that sort by creation. The time in them never runs
//! backwards, not even where the clock does.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TIME_CHARS: usize = 10;
const RANDOM_CHARS: usize = 26;

/// Makes identifiers that grow.
#[derive(Debug, Default)]
pub struct Ids {
    /// Protects the newest identifier's time and random part.
    last: Mutex<(u64, u128)>,
}

impl Ids {
    /// Makes identifiers that come after this time: that of the newest one there is.
    #[must_use]
    pub fn after(ms: u64) -> Self {
        Self { last: Mutex::new((ms, u128::MAX)) }
    }

    /// The next identifier.
    pub fn next(&self) -> String {
        self.at(now_ms(), random())
    }

    fn at(&self, now: u64, random: u128) -> String {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now > last.0 {
            *last = (now, random);
        } else {
            // Within one millisecond a random stride keeps the order without telling the next id.
            let stride = (random & u128::from(u64::MAX)) + 1;
            *last = match last.1.checked_add(stride) {
                Some(next) => (last.0, next),
                None => (last.0 + 1, random),
            };
        }
        encode(last.0, last.1)
    }
}

/// Milliseconds since 1970 by the system's clock.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// The milliseconds since 1970 at which an identifier was made, or `None` when it is none.
#[must_use]
pub fn time_ms(id: &str) -> Option<u64> {
    if id.len() != TIME_CHARS + RANDOM_CHARS {
        return None;
    }
    let mut time = 0u64;
    for (place, byte) in id.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|&b| b == byte)?;
        if place < TIME_CHARS {
            time = time << 5 | digit as u64;
        }
    }
    Some(time)
}

/// Milliseconds since 1970 as RFC 3339 in UTC, always with three decimals: such texts sort as
/// their times do.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    // It prints no year beyond 9999.
    const LAST: u64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(if ms > LAST { 0 } else { ms });
    humantime::format_rfc3339_millis(time).to_string()
}

/// 128 bits from the system's generator.
#[must_use]
pub fn random() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // A kernel without randomness at this point cannot run the program's TLS either.
        log::error!("the system gave no randomness");
    }
    u128::from_ne_bytes(bytes)
}

/// 256 bits from the system's generator, for a key.
///
/// # Errors
/// Where the system has no randomness: a key that can be guessed is worse than none.
pub fn secret() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn encode(time: u64, random: u128) -> String {
    let mut text = [0; TIME_CHARS + RANDOM_CHARS];
    let (before, after) = text.split_at_mut(TIME_CHARS);
    digits(time.into(), before);
    digits(random, after);
    text.iter().map(|&b| char::from(b)).collect()
}

/// Fills at most 26 places with the last digits of a number, five bits each.
pub(crate) fn digits(number: u128, places: &mut [u8]) {
    for (place, slot) in places.iter_mut().rev().enumerate() {
        *slot = ALPHABET[(number >> (5 * place) & 31) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_at_one_width() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_764_000_000_120), "2025-11-24T16:00:00.120Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn ids_sort_by_creation_though_the_clock_runs_back() {
        let ids = Ids::default();
        let made: Vec<_> =
            [5, 5, 9, 3, 9, 10].into_iter().map(|now| ids.at(now, random())).collect();
        let mut sorted = made.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(made, sorted);
    }

    #[test]
    fn an_id_tells_its_time_and_nothing_else_is_an_id() {
        let ids = Ids::default();
        let id = ids.at(1_790_000_000_123, u128::MAX);
        assert_eq!(time_ms(&id), Some(1_790_000_000_123));
        assert_eq!(rfc3339(1_790_000_000_123), "2026-09-21T14:13:20.123Z");
        for wrong in ["", "../etc", &id[1..], &id.to_uppercase(), &format!("{id}0")] {
            assert_eq!(time_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_full_random_part_moves_on_to_the_next_millisecond() {
        let ids = Ids::default();
        let first = ids.at(7, u128::MAX);
        let second = ids.at(7, 1);
        assert!(first < second);
        assert_eq!(time_ms(&second), Some(8));
    }
}
