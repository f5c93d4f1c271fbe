//! The pieces of a line: courtesies, words in any case, quoted texts, paths.

/// What a line may begin with and mean the same.
const COURTESIES: [&str; 10] = [
    "please",
    "can you",
    "could you",
    "would you",
    "will you",
    "i want you to",
    "i would like you to",
    "i'd like you to",
    "now",
    "kindly",
];
/// What says nothing of which file is meant.
const FILLERS: [&str; 22] = [
    "me",
    "the",
    "a",
    "an",
    "all",
    "my",
    "our",
    "this",
    "that",
    "current",
    "whole",
    "file",
    "files",
    "folder",
    "directory",
    "dir",
    "contents",
    "content",
    "of",
    "in",
    "from",
    "project",
];

/// The line without courtesies at either end.
pub(super) fn polite(mut line: &str) -> &str {
    while let Some(rest) = COURTESIES.iter().find_map(|words| after(line, words)) {
        line = rest.trim_start_matches([',', ' ']);
    }
    let end = line.trim_end_matches(['?', '!', ' ']);
    let cut = end.len().checked_sub(6).filter(|&at| end.is_char_boundary(at));
    match cut.map(|at| end.split_at(at)) {
        Some((before, please)) if please.eq_ignore_ascii_case("please") => {
            before.trim_end_matches([',', ' '])
        }
        _ => line,
    }
}

/// What follows the words at the line's start, in any case.
pub(super) fn after<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    let start = line.get(..words.len())?;
    let rest = &line[words.len()..];
    let ends = rest.is_empty() || rest.starts_with(|c: char| !c.is_alphanumeric() && c != '\'');
    (start.eq_ignore_ascii_case(words) && ends).then(|| rest.trim_start())
}

/// The same for the first of several words that stand there.
pub(super) fn after_any<'a>(line: &'a str, starts: &[&str]) -> Option<&'a str> {
    starts.iter().find_map(|words| after(line, words))
}

/// Where words stand in the line, blanks around them, in any case.
pub(super) fn find(line: &str, words: &str) -> Option<usize> {
    line.to_ascii_lowercase().find(&format!(" {words} "))
}

/// The same for the last place.
pub(super) fn rfind(line: &str, words: &str) -> Option<usize> {
    line.to_ascii_lowercase().rfind(&format!(" {words} "))
}

/// A quoted text at the start, and what follows it.
pub(super) fn quoted(line: &str) -> Option<(&str, &str)> {
    let open = line.chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => open,
        '“' => '”',
        '‘' => '’',
        _ => return None,
    };
    let inner = &line[open.len_utf8()..];
    let end = inner.find(close)?;
    Some((&inner[..end], inner[end + close.len_utf8()..].trim_start()))
}

/// Whether a word is one of a few, in any case.
pub(super) fn is_one_of(word: &str, few: &[&str]) -> bool {
    few.iter().any(|one| word.eq_ignore_ascii_case(one))
}

pub(super) fn is_filler(word: &str) -> bool {
    is_one_of(word, &FILLERS)
}

/// A path: one word or a quoted text, with words like "the file" before it and after it.
pub(super) fn path(text: &str) -> Option<String> {
    let ends = |rest: &str| rest.split_whitespace().all(|word| is_filler(bare(word)));
    let mut text = text.trim().trim_start_matches(':').trim_start();
    loop {
        if let Some((inner, rest)) = quoted(text) {
            return (ends(rest) && !inner.trim().is_empty()).then(|| inner.trim().to_owned());
        }
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if is_filler(bare(word)) && !rest.trim().is_empty() {
            text = rest.trim_start();
            continue;
        }
        let word = bare(word);
        return (ends(rest) && !word.is_empty()).then(|| word.to_owned());
    }
}

/// A word without the punctuation of its sentence.
pub(super) fn bare(word: &str) -> &str {
    let word = word.trim_start_matches('@').trim_end_matches([',', ';', ':', '?', '!']);
    match word.strip_suffix('.') {
        Some(before) if !before.is_empty() && !before.ends_with(['.', '/']) => before,
        _ => word,
    }
}

pub(super) fn looks_like_a_path(word: &str) -> bool {
    let dot = word.rfind('.').is_some_and(|at| {
        let end = &word[at + 1..];
        !end.is_empty() && end.len() <= 8 && end.chars().all(|c| c.is_ascii_alphanumeric())
    });
    dot || word.contains('/')
}

/// A text without its quotes, or without the punctuation of its sentence.
pub(super) fn trimmed(text: &str) -> Option<String> {
    let text = text.trim();
    let text = quoted(text).map_or_else(|| bare(text), |(inner, _)| inner);
    (!text.is_empty()).then(|| text.to_owned())
}
