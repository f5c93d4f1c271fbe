//! The examples of the documents, run in a shell as they stand, on the embedded default.
//!
//! In a block ```` ```console ```` each line `$ …` is a command, over further lines while they end
//! in `\`, in `|` or within quotes, and what follows is what it prints (`likeness` says what `…` stands for). All blocks of
//! a document are one conversation with one shell, in a project with the files that the document
//! shows in blocks that name them (```` ```json opencode.json ````). `opencode serve` starts a
//! server in a project of its own with the same files, which runs until the document's end; its
//! port is another one.

use crate::likeness::compare;
use crate::markdown::{Block, Document, root};
use crate::peers::{has_curl, node_with_websocket};
use crate::program::{Ran, Serving, World, binary};
use crate::wire::PATIENCE;

/// Blocks ```` ```sh ```` that are not run, by their first lines: what runs this test, what sets
/// the reader's own key, what wants changes in a repository.
const NOT_RUN: [(&str, &str); 3] = [
    ("README.md", "scripts/test"),
    (
        "README.md",
        "export ANTHROPIC_API_KEY=…        # or OPENAI_API_KEY, GEMINI_API_KEY, OPENROUTER_API_KEY, …",
    ),
    (
        "README.md",
        "git diff | opencode run \"Review this change\"        # without a server, in this directory",
    ),
];

/// Stands between what two commands print.
const MARK: &str = "-- end of a command --";

/// A command, and what the document says that it prints.
struct Step {
    line: usize,
    command: String,
    shown: String,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (at, line) in block.text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ").filter(|_| !goes_on) {
            let line = block.line + 1 + at;
            steps.push(Step { line, command: command.to_owned(), shown: String::new() });
        } else {
            let step = steps.last_mut().expect("a block of commands begins with `$ `");
            let part = if goes_on { &mut step.command } else { &mut step.shown };
            let separator = if goes_on || !part.is_empty() { "\n" } else { "" };
            part.extend([separator, line]);
        }
        let step = steps.last().unwrap();
        let is_open =
            |text: &str| text.ends_with(['\\', '|']) || text.matches('\'').count() % 2 == 1;
        goes_on = step.shown.is_empty() && is_open(&step.command);
    }
    steps
}

/// A shell's project, with what the document has in it.
fn world(files: &[(String, String)]) -> World {
    files.iter().fold(World::new(), |world, (name, text)| world.file(name, text))
}

/// The server that a command starts, and the port that the document gives it.
fn server(command: &str, files: &[(String, String)]) -> Option<(String, Serving)> {
    let (before, flags) = command.split_once("opencode serve")?;
    let mut world = world(files);
    // A reader that has what it wanted is noticed when something is written.
    world.home.write(
        ".config/opencode/opencode.json",
        r#"{"server":{"limits":{"heartbeatSeconds":0.2}}}"#,
    );
    for (name, value) in before.split_whitespace().filter_map(|word| word.split_once('=')) {
        world = world.env(name, value.trim_matches('"'));
    }
    let mut flags: Vec<_> = flags.split_whitespace().collect();
    let port = flags.iter().position(|flag| *flag == "--port").map(|at| {
        let port = flags[at + 1].to_owned();
        flags.drain(at..at + 2);
        port
    });
    Some((port.unwrap_or_else(|| "4096".to_owned()), world.serve_with(&flags)))
}

/// Runs the examples of a document: what is not as it shows.
fn faults(document: &Document) -> Vec<String> {
    let blocks = document.blocks();
    let name = document.path.display();
    let mut steps: Vec<_> =
        blocks.iter().filter(|block| block.language == "console").flat_map(steps).collect();
    let named = blocks.iter().filter_map(|block| Some((block.file.clone()?, block.text.clone())));
    let mut files: Vec<_> = named.collect();
    // Its reader has just made a clone.
    if document.path.as_os_str() == "README.md" {
        files.push(("Cargo.toml".to_owned(), Document::read("Cargo.toml").text));
    }
    let mut servers = Vec::new();
    steps.retain(|step| {
        let Some((port, server)) = server(&step.command, &files) else { return true };
        let first = format!("opencode server listening on http://127.0.0.1:{port}");
        assert_eq!(compare(&step.shown, &first), Ok(()), "{name}:{}", step.line);
        servers.push((port, server));
        false
    });
    let is_digit = |c: char| c.is_ascii_digit();
    let real = |text: &str| -> String {
        let runs = text.split_inclusive(|c| !is_digit(c)).map(|run| {
            let shown = run.trim_end_matches(|c| !is_digit(c));
            let server = servers.iter().find(|(port, _)| port == shown).map(|(_, server)| server);
            server.map_or(run.to_owned(), |server| {
                format!("{}{}", server.address.port(), &run[shown.len()..])
            })
        });
        runs.collect()
    };
    let mut script = String::new();
    if steps.iter().any(|step| step.command.starts_with("node ")) {
        match node_with_websocket() {
            Some(flags) => script = format!("export NODE_OPTIONS='{flags}'\n"),
            None => steps.retain(|step| !step.command.starts_with("node ")),
        }
    }
    for step in &steps {
        let command = step.command.replace("cargo run -- ", "opencode ");
        script.extend([real(&command).as_str(), "\nprintf '\\n%s\\n' '", MARK, "'\n"]);
    }
    let here = files.iter().map(|(name, text)| (name.clone(), real(text))).collect::<Vec<_>>();
    let here = world(&here);
    let ran = shell(&here, &script);
    let printed: Vec<_> = ran.stdout.split(&format!("\n{MARK}\n")).collect();
    assert_eq!(printed.len(), steps.len() + 1, "{name}: {ran:?}");
    let pairs = steps.iter().zip(printed);
    let faults = pairs.filter_map(|(step, printed)| {
        let why = compare(&real(&step.shown), printed).err()?;
        Some(format!("{name}:{}: $ {}\n{printed}\n{why}", step.line, step.command))
    });
    faults.collect()
}

/// A shell that knows the program by its name, and writes all there is to standard output.
fn shell(world: &World, script: &str) -> Ran {
    let program = std::path::Path::new(binary());
    let path = std::env::var("PATH").unwrap_or_default();
    // Proxies are for elsewhere; nothing may wait for ever.
    let curl = format!("silent\nnoproxy = \"*\"\nmax-time = {}\n", PATIENCE.as_secs());
    world.home.write(".curlrc", &curl);
    let output = world
        .beside("sh", &["-c", &format!("exec 2>&1\n{script}")])
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .output()
        .unwrap();
    Ran::of(output)
}

#[test]
fn every_example_prints_what_its_document_shows() {
    if !has_curl() {
        return;
    }
    let documents = Document::all();
    let has_examples = |d: &&Document| d.blocks().iter().any(|b| b.language == "console");
    let documents: Vec<_> = documents.iter().filter(has_examples).collect();
    for expected in ["README.md", "docs/api.md"] {
        let is_there = documents.iter().any(|d| d.path.as_os_str() == expected);
        assert!(is_there, "{expected} has no examples in {}", root().display());
    }
    let faults: Vec<_> = documents.into_iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn no_example_of_the_readme_and_of_the_api_is_left_unrun() {
    for name in ["README.md", "docs/api.md"] {
        for block in Document::read(name).blocks() {
            let first = block.text.lines().next().unwrap_or_default();
            let is_run = block.language == "console" || block.file.is_some();
            let is_shell = matches!(&*block.language, "sh" | "bash" | "shell");
            let is_known = NOT_RUN.contains(&(name, first));
            assert!(is_run || !is_shell || is_known, "{name}:{}: {first}", block.line);
        }
    }
}
