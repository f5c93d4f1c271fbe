//! Certificates of authorities, from PEM files that a person names.

use std::path::Path;

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
