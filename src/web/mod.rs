//! The web page: files embedded in the program, and the answers that carry them.
//!
//! There is nothing secret in them; what the page shows it fetches through the API, which anyone
//! can use. This room knows nothing of sessions, credentials or configuration.

pub(crate) mod packed;

use std::collections::HashMap;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::http::{Method, Request, Response};
use crate::text::hex;
use packed::{Packed, takes_gzip};

/// What the page may do: fetch from where it came, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The page itself, among its files.
const SHELL: &str = "index.html";

/// One file of the page: its path below `assets/`, and what is in it.
type Asset = (&'static str, Packed);

macro_rules! asset {
    ($name:literal) => {
        ($name, Packed(include_bytes!(concat!(env!("OUT_DIR"), "/packed/", $name, ".gz"))))
    };
}

/// All files of the page. A new one is a line here; a test finds those that have none.
const ASSETS: &[Asset] = &[
    asset!("index.html"),
    asset!("app.js"),
    asset!("diff.js"),
    asset!("dom.js"),
    asset!("highlight.js"),
    asset!("inline.js"),
    asset!("markdown.js"),
    asset!("net.js"),
    asset!("render.js"),
    asset!("scroller.js"),
    asset!("sessions.js"),
    asset!("settings.js"),
    asset!("store.js"),
    asset!("theme.js"),
    asset!("words.js"),
    asset!("view/chooser.js"),
    asset!("view/composer.js"),
    asset!("view/conversation.js"),
    asset!("view/dialogs.js"),
    asset!("view/diff.js"),
    asset!("view/empty.js"),
    asset!("view/permission.js"),
    asset!("view/sidebar.js"),
    asset!("view/status.js"),
    asset!("view/tool.js"),
    asset!("view/turn.js"),
    asset!("content.css"),
    asset!("icon.svg"),
    asset!("style.css"),
];

/// Answers with the page, a file of it, or 404. `path` is what stands below the base path, from
/// its slash on.
///
/// The same page is at `/` and at `/s/{id}`, and its files are beside both: so relative addresses
/// lead to them from either, whatever a proxy has put before.
#[must_use]
pub fn answer(request: &Request<'_>, path: &str) -> Response {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return text(405, "this path takes GET and HEAD\n").header("Allow", "GET, HEAD");
    }
    let Some((name, file)) = find(path) else {
        return text(404, "there is nothing at this path\n");
    };
    // The packed file and the file itself are two things to a cache.
    let gzip = takes_gzip(request);
    let form = if gzip { "" } else { "-plain" };
    let tag = format!("\"{}{form}\"", TAGS.get(name).map_or("", String::as_str));
    let is_known = request.values("if-none-match").any(|value| lists(value, &tag));
    let response = dressed(Response::new(if is_known { 304 } else { 200 }))
        .header("ETag", tag)
        .header("Content-Type", media_type(name));
    if is_known { response.header("Vary", "Accept-Encoding") } else { file.answer(gzip, response) }
}

/// Sends to where the page's relative addresses work: behind a slash.
#[must_use]
pub fn to_slash(base_path: &str, query: Option<&str>) -> Response {
    let plain = query.filter(|query| query.bytes().all(|byte| byte.is_ascii_graphic()));
    let query = plain.map(|query| format!("?{query}")).unwrap_or_default();
    let place = format!("{base_path}/{query}");
    text(307, "the page is behind a slash\n").header("Location", place)
}

/// What a path stands for.
fn find(path: &str) -> Option<Asset> {
    let below = path.strip_prefix("/s/").or_else(|| path.strip_prefix('/'))?;
    let name = match below.strip_prefix("assets/") {
        Some(name) => name,
        None if path == "/" => SHELL,
        // What is no session's id is for the page to say.
        None if path.starts_with("/s/") && !below.is_empty() && !below.contains('/') => SHELL,
        None => return None,
    };
    ASSETS.iter().copied().find(|(known, _)| *known == name)
}

/// What the strong validators of each file begin with (RFC 9110, section 8.8.3), made from its
/// bytes.
static TAGS: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let tag = |file: &Packed| hex(&Sha256::digest(file.0)[..8]);
    ASSETS.iter().map(|(name, file)| (*name, tag(file))).collect()
});

/// Whether an `If-None-Match` has a validator; a weak one is as good there.
fn lists(value: &str, tag: &str) -> bool {
    value
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, kind)| kind) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

fn text(status: u16, words: &'static str) -> Response {
    let response = dressed(Response::new(status)).header("Content-Type", "text/plain");
    response.body(words.as_bytes())
}

/// What every answer of the page carries.
fn dressed(response: Response) -> Response {
    response
        .header("Cache-Control", "no-cache")
        .header("Content-Security-Policy", POLICY)
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "same-origin")
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// All files of the page together.
    const MOST: usize = 150 * 1024;

    #[test]
    fn every_file_of_the_page_is_in_the_table_and_all_are_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets");
        let mut there: Vec<_> = ignore::Walk::new(&folder)
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.path().strip_prefix(&folder).unwrap().display().to_string())
            .collect();
        there.sort();
        let mut listed: Vec<_> = ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(listed, there, "the table has every file");
        let mut total = 0;
        for (name, file) in ASSETS {
            let bytes = file.unpacked().unwrap();
            assert!(bytes == std::fs::read(folder.join(name)).unwrap(), "{name} as it is");
            total += bytes.len();
        }
        assert!(total <= MOST, "{total} bytes are more than {MOST}");
        for (name, _) in ASSETS {
            assert_ne!(media_type(name), "application/octet-stream", "{name} has a media type");
        }
    }

    #[test]
    fn the_page_is_at_the_root_and_at_each_session() {
        let name = |path| find(path).map(|(name, _)| name);
        for path in ["/", "/s/01m87y8z", "/s/no-such-id"] {
            assert_eq!(name(path), Some("index.html"), "{path}");
        }
        for path in ["/assets/app.js", "/s/assets/app.js"] {
            assert_eq!(name(path), Some("app.js"), "{path}");
        }
        for path in
            ["", "/s", "/s/", "/s/x/", "/s/x/y", "/x", "//", "/assets/", "/assets/../mod.rs"]
        {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn a_validator_is_known_in_a_list_and_weak() {
        assert!(lists("\"a\", W/\"b\"", "\"b\"") && lists("*", "\"b\""));
        assert!(!lists("\"a\"", "\"b\"") && !lists("", "\"b\""));
    }
}
