//! The buffers of a provider's connection, which are there only while they are used.
//!
//! A turn waits most of its time, and a thousand wait at once: ureq's own connection would keep
//! its buffers, made for the largest head and body, all the while. Here the output goes when the
//! answer is awaited, and the input holds what has come and is not read.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use crate::os::Waits;

/// Bytes of what TLS keeps of its own: for what comes, where a token has a few hundred, and for
/// what is sent. Allocators have room for a little less than a power of two.
pub(super) const INPUT: usize = 2000;
pub(super) const OUTPUT: usize = 2000;
/// Bytes that are sent at a time. The head of a request must fit.
const SENT: usize = 16 * 1024;
/// Bytes that are read at a time.
const READ: usize = 4000;
/// Bytes that may have come without being of use. A head may be a little shorter; a line between
/// the chunks of a body is so short that nobody waits for the end of one that is longer.
const UNREAD: usize = 68 * 1024;

/// A connection with TLS, and buffers over those that it keeps.
#[derive(Debug)]
pub(super) struct Buffered {
    beneath: Box<dyn Transport>,
    buffers: Held,
    waits: Waits,
}

impl Buffered {
    /// Puts buffers over ureq's own.
    pub(super) fn new(beneath: Box<dyn Transport>) -> Self {
        Self { beneath, buffers: Held::default(), waits: Waits::default() }
    }
}

/// What is held of a connection's bytes.
#[derive(Debug, Default)]
pub(super) struct Held {
    input: Vec<u8>,
    /// Bytes at the start of `input` that have been read.
    read: usize,
    /// The last look at the input took something: what is left of it may be of use.
    progress: bool,
    output: Vec<u8>,
}

impl Held {
    /// Gives back what is not used while an answer is awaited. `false` if so much has come that
    /// nothing more is taken.
    #[must_use]
    pub(super) fn rest(&mut self) -> bool {
        self.output = Vec::new();
        // Without the bytes that were read, and their room.
        self.input = self.input.split_off(std::mem::take(&mut self.read));
        self.input.len() <= UNREAD
    }

    /// What was written, to be sent.
    pub(super) fn written(&self, amount: usize) -> &[u8] {
        self.output.get(..amount).unwrap_or_default()
    }

    /// Adds what one read brings.
    pub(super) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let start = self.input.len();
        self.input.resize(start + READ, 0);
        let came = read(&mut self.input[start..]);
        self.input.truncate(start + came.as_ref().map_or(0, |count| *count));
        came
    }
}

impl Transport for Buffered {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = self.buffers.written(amount);
        while !rest.is_empty() {
            let room = self.beneath.buffers().output();
            let length = rest.len().min(room.len());
            let (part, after) = rest.split_at(length);
            room[..length].copy_from_slice(part);
            self.beneath.transmit_output(length, timeout)?;
            rest = after;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if !self.buffers.rest() {
            return Ok(false);
        }
        let beneath = &mut self.beneath;
        let progress = self.waits.wait(|| beneath.maybe_await_input(timeout))?;
        let came = self.beneath.buffers().input();
        let length = came.len();
        self.buffers.input.extend_from_slice(came);
        self.beneath.buffers().input_consume(length);
        Ok(progress && length > 0)
    }

    fn is_open(&mut self) -> bool {
        self.beneath.is_open()
    }

    fn is_tls(&self) -> bool {
        self.beneath.is_tls()
    }
}

impl Buffers for Held {
    fn output(&mut self) -> &mut [u8] {
        self.output.resize(SENT, 0);
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.read..]
    }

    // Filled while it is awaited, and not otherwise.
    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _amount: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.read = (self.read + amount).min(self.input.len());
    }

    // The first is for bodies that are cut into chunks; here each has a length.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.output.resize(SENT, 0);
        (&mut [], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.read < self.input.len()
    }
}
