//! TLS towards others: authorities from PEM files that a person names, and what a handshake that
//! failed says to one.

use std::io;
use std::path::Path;

use rustls::{Error, InvalidMessage};
use ureq::tls::{Certificate, PemItem, parse_pem};

/// The certificates in a file, at least one.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(found)
}

/// Why a handshake failed, where a person can do something about it other than name an authority.
#[must_use]
pub fn mistake(error: &io::Error) -> Option<&'static str> {
    let inner = error.get_ref()?;
    let inner = inner.downcast_ref::<Error>().or_else(|| inner.source()?.downcast_ref())?;
    match inner {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("it does not speak TLS there; is it http:// instead of https://?")
        }
        // A reason of the checker's own, which only its name tells.
        Error::InvalidCertificate(why) if format!("{why:?}").contains("CaUsedAsEndEntity") => Some(
            "its certificate is an authority's own, which is accepted of no server; give it one \
             that the authority has signed",
        ),
        _ => None,
    }
}
