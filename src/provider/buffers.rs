//! A provider's connection whose buffers are there only while they are used.
//!
//! A turn waits most of its time, and a thousand wait at once: ureq's own connection would keep
//! its buffers, made for the largest head and body, all the while. Here the output goes when the
//! answer is awaited, and the input holds what has come and is not read. What lies beneath, with
//! TLS and proxies, is ureq's.

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};

use crate::os::Waits;

/// Bytes of the connection's own buffers, which are kept: for what comes, where a token has a few
/// hundred, and for what is sent. Allocators have room for a little less than a power of two.
pub(super) const INPUT: usize = 2000;
pub(super) const OUTPUT: usize = 2000;
/// Bytes that are sent at a time. The head of a request must fit.
const SENT: usize = 16 * 1024;

/// Connects as ureq does, and gives the connection these buffers.
#[derive(Debug, Default)]
pub(super) struct Slim(DefaultConnector);

impl Connector<()> for Slim {
    type Out = Buffered;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Buffered>, Error> {
        let beneath = self.0.connect(details, chained)?;
        Ok(beneath.map(|beneath| Buffered {
            beneath,
            buffers: Held::default(),
            waits: Waits::default(),
        }))
    }
}

/// A connection and its buffers.
#[derive(Debug)]
pub(super) struct Buffered {
    beneath: Box<dyn Transport>,
    buffers: Held,
    waits: Waits,
}

#[derive(Debug, Default)]
struct Held {
    input: Vec<u8>,
    /// Bytes at the start of `input` that have been read.
    read: usize,
    /// The last look at the input took something: what is left of it may be of use.
    progress: bool,
    output: Vec<u8>,
    /// Where a body is read whose length is not known.
    scratch: Vec<u8>,
}

impl Transport for Buffered {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = self.buffers.output.get(..amount).unwrap_or_default();
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
        let held = &mut self.buffers;
        (held.output, held.scratch) = (Vec::new(), Vec::new());
        // Without the bytes that were read, and their room.
        held.input = held.input.split_off(std::mem::take(&mut held.read));
        let beneath = &mut self.beneath;
        let progress = self.waits.wait(|| beneath.maybe_await_input(timeout))?;
        let came = self.beneath.buffers().input();
        let length = came.len();
        held.input.extend_from_slice(came);
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

    // Filled by `await_input` alone; nothing is to be put between.
    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _amount: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.read = (self.read + amount).min(self.input.len());
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.scratch.resize(SENT, 0);
        self.output.resize(SENT, 0);
        (&mut self.scratch, &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.read < self.input.len()
    }
}
