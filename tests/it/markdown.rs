//! The project's documents, as far as tests read them: fenced blocks, links, headings.

use std::path::{Path, PathBuf};

/// The project's own folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Markdown file of the project.
pub(crate) struct Document {
    /// Relative to the project.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

/// A block between fences.
pub(crate) struct Block {
    /// The first word behind the fence.
    pub(crate) language: String,
    /// What follows that word: the name of a file.
    pub(crate) file: Option<String>,
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// What is in it.
    pub(crate) text: String,
}

impl Document {
    /// Reads one.
    pub(crate) fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        Self { path, text }
    }

    /// All that are not ignored by Git.
    pub(crate) fn all() -> Vec<Self> {
        let files = ignore::WalkBuilder::new(root()).require_git(false).build().flatten();
        let paths = files.map(ignore::DirEntry::into_path);
        let documents = paths.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
        documents.map(|path| Self::read(path.strip_prefix(root()).unwrap())).collect()
    }

    /// Its fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let ticks = line.len() - line.trim_start_matches('`').len();
            if ticks < 3 {
                continue;
            }
            let (fence, info) = line.split_at(ticks);
            let (language, file) = info.split_once(' ').unwrap_or((info, ""));
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != fence);
            blocks.push(Block {
                language: language.to_owned(),
                file: (!file.is_empty()).then(|| file.to_owned()),
                line: at + 1,
                text: inside.fold(String::new(), |text, line| text + line + "\n"),
            });
        }
        blocks
    }

    /// The lines outside of fenced blocks.
    fn outside(&self) -> impl Iterator<Item = &str> {
        let mut open: Option<&str> = None;
        self.text.lines().filter(move |line| {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match open {
                Some(fence) => {
                    open = open.filter(|_| *line != fence);
                    false
                }
                None if ticks >= 3 => {
                    open = Some(&line[..ticks]);
                    false
                }
                None => true,
            }
        })
    }

    /// Its text without code, neither in blocks nor in lines.
    pub(crate) fn prose(&self) -> String {
        let text: Vec<_> = self.outside().collect();
        text.join("\n").split('`').step_by(2).collect()
    }

    /// The targets of its links and pictures.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let tags = ["src=\"", "srcset=\"", "href=\""]
            .into_iter()
            .flat_map(|name| prose.split(name).skip(1))
            .filter_map(|rest| rest.split_once('"'));
        inline.chain(tags).map(|(target, _)| target.to_owned()).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let (mut anchors, mut plain) = (Vec::new(), Vec::new());
        for line in self.outside().filter(|line| line.starts_with('#')) {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let twins = plain.iter().filter(|other| **other == anchor).count();
            plain.push(anchor.clone());
            anchors.push(if twins == 0 { anchor } else { format!("{anchor}-{twins}") });
        }
        anchors
    }
}

#[test]
fn blocks_links_and_anchors_are_read() {
    let text = "# What's `new`?\n[a](b.md#c) `[no](x)`\n```sh one.sh\n# no [l](y)\n```\n\
                ````\n```\n````\n## What's new\n## What's new\n<img src=\"p.png\">\n";
    let document = Document { path: "x.md".into(), text: text.into() };
    let blocks = document.blocks();
    let read: Vec<_> =
        blocks.iter().map(|b| (&*b.language, b.file.as_deref(), b.line, &*b.text)).collect();
    assert_eq!(read, [("sh", Some("one.sh"), 3, "# no [l](y)\n"), ("", None, 6, "```\n")]);
    assert_eq!(document.links(), ["b.md#c", "p.png"]);
    assert_eq!(document.anchors(), ["whats-new", "whats-new-1", "whats-new-2"]);
}
