//! Percent-decoding (RFC 3986, 2.1), for queries and for credentials in a URL.

/// Decodes `%XX`; what is no such sequence stays as it is, and bytes that are no UTF-8 become
/// U+FFFD.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match byte {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn sequences_are_decoded_and_the_rest_stays() {
        assert_eq!(decode("src%2Fa%20b"), "src/a b");
        assert_eq!(decode("100%, %zz, %4"), "100%, %zz, %4");
        assert_eq!(decode("%ff"), "\u{fffd}");
    }
}
