//! Anthropic's Messages protocol.
//!
//! <https://docs.anthropic.com/en/api/messages> and `…/messages-streaming`; also spoken by
//! gateways and other vendors under an address of their own.

mod decode;
mod request;

use std::borrow::Cow;

use super::Request;
use super::decode::{Decode, Ids};
use super::endpoint::{Endpoint, Secret};
use super::remote::Wire;

pub(crate) use decode::Decoder;

/// The version of the protocol that is spoken here.
const VERSION: &str = "2023-06-01";

/// The protocol.
pub(crate) struct Anthropic;

impl Wire for Anthropic {
    fn url(&self, endpoint: &Endpoint) -> String {
        format!("{}/messages", endpoint.base)
    }

    fn headers<'a>(&self, endpoint: &'a Endpoint) -> Vec<(&'static str, Cow<'a, str>)> {
        let key = endpoint.key.as_ref().map(Secret::reveal);
        let key = key.map(|key| ("x-api-key", Cow::Borrowed(key)));
        key.into_iter().chain([("anthropic-version", Cow::Borrowed(VERSION))]).collect()
    }

    fn body(&self, endpoint: &Endpoint, request: &Request<'_>) -> Vec<u8> {
        request::body(endpoint, request).to_string().into_bytes()
    }

    fn decoder(&self, ids: Ids) -> Box<dyn Decode> {
        Box::new(Decoder::new(ids))
    }
}
