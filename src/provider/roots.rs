//! Which authorities vouch for a provider: the built-in ones, and those of the files that the
//! environment names.
//!
//! `SSL_CERT_FILE` is OpenSSL's name and `NODE_EXTRA_CA_CERTS` that of Node; companies whose proxy
//! opens TLS set one of them. Both add, so that naming a private authority loses no public one.

use std::path::Path;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::Env;
use crate::pem;

const NAMES: [&str; 2] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];

/// The authorities, read once. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots {
    tls: TlsConfig,
    /// What is wrong with the files.
    faults: Vec<String>,
}

impl Roots {
    /// Reads the files. One that cannot be used is warned of, and told where TLS fails.
    pub(crate) fn new(env: &Env) -> Self {
        let mut roots = Self::default();
        let mut more = Vec::new();
        for (name, path) in NAMES.iter().filter_map(|name| Some((name, env.get(name)?))) {
            match pem::certificates(Path::new(path)) {
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
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    built_in.map(|der| Certificate::from_der(der)).chain(more).collect()
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
        let der = &webpki_root_certs::TLS_SERVER_ROOT_CERTS[0];
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
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
        assert_eq!(count(&of(&[])), 0, "the usual ones");
        assert_eq!(count(&of(&[("SSL_CERT_FILE", &good)])), built_in + 2);
        let both = of(&[("SSL_CERT_FILE", &bad), ("NODE_EXTRA_CA_CERTS", &good)]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(count(&both), built_in + 2);
        assert!(both.hint().contains("bad.pem cannot be used: there is no certificate"));
        assert!(of(&[]).hint().contains("SSL_CERT_FILE"));
    }
}
