//! What the program carries with it: files packed by `build.rs`, and answers with them.

use std::borrow::Cow;
use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::http::{Request, Response};

/// No file is larger, unpacked.
const MOST: u64 = 1024 * 1024;

/// A file as it is embedded, or as it was packed here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<B = &'static [u8]>(pub(crate) B);

impl Packed<Vec<u8>> {
    /// Packs a file.
    pub(crate) fn pack(bytes: &[u8]) -> io::Result<Self> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(bytes)?;
        packer.finish().map(Self)
    }
}

impl<B: AsRef<[u8]> + Clone + Into<Cow<'static, [u8]>>> Packed<B> {
    /// The file itself.
    pub(crate) fn unpacked(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        GzDecoder::new(self.0.as_ref()).take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Puts it into an answer: as it is for a client that takes gzip, else unpacked.
    pub(crate) fn answer(&self, gzip: bool, response: Response) -> Response {
        let response = response.header("Vary", "Accept-Encoding");
        if gzip {
            return response.header("Content-Encoding", "gzip").body(self.0.clone());
        }
        match self.unpacked() {
            Ok(bytes) => response.body(bytes),
            // Its bytes are the program's own, and tests unpack all of them.
            Err(error) => {
                log::error!("an embedded file cannot be unpacked: {error}");
                Response::new(500)
            }
        }
    }
}

/// Whether a client takes gzip (RFC 9110, section 12.5.3).
pub(crate) fn takes_gzip(request: &Request<'_>) -> bool {
    request.values("accept-encoding").any(lists_gzip)
}

fn lists_gzip(value: &str) -> bool {
    value.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        // A weight of nothing refuses it.
        named
            && !parts.any(|part| {
                let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for value in ["gzip", "deflate, GZIP", "gzip;q=0.5, br", "br;q=1.0, gzip ; q=1"] {
            assert!(lists_gzip(value), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "gzip; q=0.000", "xgzip", "identity", "*;q=0"] {
            assert!(!lists_gzip(value), "{value}");
        }
    }
}
