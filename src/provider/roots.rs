//! Which authorities vouch for a provider: the built-in ones, and those of the files that the
//! environment names.
//!
//! `SSL_CERT_FILE` is OpenSSL's name and `NODE_EXTRA_CA_CERTS` that of Node; companies whose proxy
//! opens TLS set one of them. Both add, so that naming a private authority loses no public one.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::TrustAnchor;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::RustlsConnector;

use crate::config::Env;
use crate::tls;

const NAMES: [&str; 2] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];

/// The authorities, read once. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots {
    tls: TlsConfig,
    /// Makes what TLS needs of these authorities when it is first used, and keeps it.
    connector: Arc<RustlsConnector>,
    /// What is wrong with the files.
    faults: Vec<String>,
}

impl Roots {
    /// Reads the files. One that cannot be used is warned of, and told where TLS fails.
    pub(crate) fn new(env: &Env) -> Self {
        let mut roots = Self::default();
        let mut more = Vec::new();
        for (name, path) in NAMES.iter().filter_map(|name| Some((name, env.get(name)?))) {
            match tls::certificates(Path::new(path)) {
                Ok(found) => more.extend(found),
                Err(why) => roots.faults.push(format!("{name}={path} cannot be used: {why}")),
            }
        }
        for fault in &roots.faults {
            log::warn!("{fault}");
        }
        if !more.is_empty() {
            let all = with_built_in(more);
            roots.tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&all)).build();
        }
        roots
    }

    /// What a connection needs.
    pub(crate) fn tls(&self) -> TlsConfig {
        self.tls.clone()
    }

    /// What speaks TLS. One for all turns: the authorities take 15 KB, and what was agreed on with a
    /// provider shortens the next handshake.
    pub(crate) fn connector(&self) -> Arc<RustlsConnector> {
        Arc::clone(&self.connector)
    }

    /// What a person can do where a certificate is not accepted.
    pub(crate) fn hint(&self) -> String {
        if self.faults.is_empty() {
            format!("a private authority's PEM file can be named by {}", NAMES.join(" or "))
        } else {
            self.faults.join("; ")
        }
    }
}

fn with_built_in(more: Vec<Certificate<'static>>) -> Vec<Certificate<'static>> {
    let built_in = webpki_roots::TLS_SERVER_ROOTS.iter();
    built_in.map(|anchor| Certificate::from_der(&dressed(anchor)).to_owned()).chain(more).collect()
}

/// An authority as a certificate. What is embedded of each is what is used of one: its name, its
/// key and the names it may vouch for. `ureq` takes certificates alone, so these stand in one
/// whose other fields (RFC 5280, section 4.1) say nothing; of a certificate that is trusted as it
/// is nobody reads them.
fn dressed(anchor: &TrustAnchor<'_>) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    // The version, counted from 0: the third, since older ones have no constraints.
    const VERSION: [u8; 5] = [0xa0, 3, 2, 1, 2];
    const SERIAL: [u8; 3] = [2, 1, 1];
    const NOTHING: [u8; 2] = [SEQUENCE, 0];
    // id-ce-nameConstraints, critical.
    const CONSTRAINTS: [u8; 8] = [6, 3, 0x55, 0x1d, 0x1e, 1, 1, 0xff];
    let extensions = anchor.name_constraints.as_ref().map(|names| {
        let value = element(4, &[&element(SEQUENCE, &[names.as_ref()])]);
        let all = element(SEQUENCE, &[&element(SEQUENCE, &[&CONSTRAINTS, &value])]);
        element(0xa3, &[&all])
    });
    let subject = element(SEQUENCE, &[anchor.subject.as_ref()]);
    let key = element(SEQUENCE, &[anchor.subject_public_key_info.as_ref()]);
    let told = element(
        SEQUENCE,
        &[
            &VERSION,
            &SERIAL,
            &NOTHING,
            &subject,
            &NOTHING,
            &subject,
            &key,
            &extensions.unwrap_or_default(),
        ],
    );
    let signature = element(3, &[&[0]]);
    element(SEQUENCE, &[&told, &NOTHING, &signature])
}

/// An element of DER: its tag, the length of its parts, and these.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let digits = &bytes[length.leading_zeros() as usize / 8..];
    let mut all = vec![tag];
    if length >= 0x80 {
        all.push(0x80 | digits.len() as u8);
        all.extend_from_slice(digits);
    } else {
        all.push(length as u8);
    }
    all.extend(parts.iter().copied().flatten());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    #[test]
    fn files_of_the_environment_are_added_and_a_wrong_one_is_told() {
        let folder = std::env::temp_dir().join(format!("opencode-roots-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (good, bad) = (folder.join("good.pem"), folder.join("bad.pem"));
        let der = dressed(&webpki_roots::TLS_SERVER_ROOTS[0]);
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(&good, pem.repeat(2)).unwrap();
        std::fs::write(&bad, "no certificate").unwrap();
        let of = |pairs: &[(&str, &Path)]| {
            Roots::new(&pairs.iter().map(|(name, path)| (*name, path.to_str().unwrap())).collect())
        };
        let count = |roots: &Roots| match roots.tls().root_certs() {
            RootCerts::Specific(all) => all.len(),
            _ => 0,
        };
        let built_in = webpki_roots::TLS_SERVER_ROOTS.len();
        assert_eq!(count(&of(&[])), 0, "the usual ones");
        assert_eq!(count(&of(&[("SSL_CERT_FILE", &good)])), built_in + 2);
        let both = of(&[("SSL_CERT_FILE", &bad), ("NODE_EXTRA_CA_CERTS", &good)]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(count(&both), built_in + 2);
        assert!(both.hint().contains("bad.pem cannot be used: there is no certificate"));
        assert!(of(&[]).hint().contains("SSL_CERT_FILE"));
    }

    #[test]
    fn an_authority_is_the_same_in_its_dress() {
        let mut store = rustls::RootCertStore::empty();
        for anchor in webpki_roots::TLS_SERVER_ROOTS {
            store.add(dressed(anchor).into()).unwrap();
        }
        assert_eq!(store.roots, webpki_roots::TLS_SERVER_ROOTS);
        let constrained = store.roots.iter().any(|anchor| anchor.name_constraints.is_some());
        assert!(constrained, "one of them vouches for some names only");
    }
}
