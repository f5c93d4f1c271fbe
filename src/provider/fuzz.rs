//! The way of a provider's stream for the fuzz targets: bytes in, what was heard out.

use super::decode::{Decode, Fault, Ids};
use super::{Chunk, anthropic, openai};
use crate::sse::Parser;

/// How a provider speaks.
#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    /// Anthropic's messages.
    Anthropic,
    /// `OpenAI`'s chat completions.
    OpenAi,
}

/// What a stream in these pieces comes to, in words that can be compared. Text is joined: how it
/// was cut is no part of what was said.
pub fn heard<'a>(protocol: Protocol, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder: Box<dyn Decode> = match protocol {
        Protocol::Anthropic => Box::new(anthropic::Decoder::new(Ids::default())),
        Protocol::OpenAi => Box::new(openai::Decoder::new(Ids::default(), true)),
    };
    let mut parser = Parser::default();
    let (mut events, mut chunks, mut said) = (Vec::new(), Vec::new(), Vec::new());
    let mut fault = None;
    for piece in pieces {
        let fits = parser.feed(piece, &mut events);
        fault = take(decoder.as_mut(), &mut events, &mut chunks);
        if fault.is_some() || fits.is_err() {
            break;
        }
    }
    if fault.is_none() {
        parser.finish(&mut events);
        fault = take(decoder.as_mut(), &mut events, &mut chunks);
    }
    if fault.is_none() {
        fault = decoder.end(&mut chunks).err();
    }
    said.extend(chunks.iter().map(|chunk: &Chunk| format!("{chunk:?}")));
    said.extend(fault.map(|fault| format!("{fault:?}")));
    said.push(format!("done: {}", decoder.done()));
    said
}

fn take(
    decoder: &mut dyn Decode,
    events: &mut Vec<crate::sse::Event>,
    chunks: &mut Vec<Chunk>,
) -> Option<Fault> {
    for event in events.drain(..) {
        if decoder.done() {
            return None;
        }
        if let Err(fault) = decoder.event(&event, chunks) {
            return Some(fault);
        }
    }
    None
}
