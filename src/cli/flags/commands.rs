//! The table of all commands, each with its flags.

use super::{Command, Flag};

const fn flag(
    name: &'static str,
    value: Option<&'static str>,
    env: Option<&'static str>,
    help: &'static str,
) -> Flag {
    Flag { name, short: None, value, env, help }
}

const HELP: Flag =
    Flag { name: "help", short: Some('h'), value: None, env: None, help: "Show this help" };
const DIR: Flag = flag(
    "dir",
    Some("PATH"),
    Some("OPENCODE_DIR"),
    "The project directory (default: where it is started)",
);
const CA: Flag =
    flag("ca", Some("FILE"), None, "Trust this PEM certificate authority for https:// too");

const ATTACH: Flag = flag(
    "attach",
    Some("URL"),
    None,
    "Ask a running server, http://HOST:PORT or opencode://NAME.local",
);

const LIST: &[Flag] =
    &[flag("json", None, None, "JSON, as the API gives it"), ATTACH, CA, DIR, HELP];

/// What both kinds of server take, and what one of them takes beside it.
macro_rules! server_flags {
    ($($more:expr),*) => {
        &[
            flag("port", Some("N"), Some("OPENCODE_PORT"), "TCP port, 0 for a free one (4096)"),
            flag(
                "hostname",
                Some("ADDRESS"),
                Some("OPENCODE_HOSTNAME"),
                "Interface to bind, 0.0.0.0 for all (127.0.0.1)",
            ),
            flag("mdns", None, Some("OPENCODE_MDNS"), "Announce the server on the local network"),
            flag(
                "mdns-domain",
                Some("NAME.local"),
                Some("OPENCODE_MDNS_DOMAIN"),
                "The name to announce (opencode.local)",
            ),
            flag(
                "cors",
                Some("ORIGIN"),
                Some("OPENCODE_CORS"),
                "Let pages of this origin use the API; may be repeated",
            ),
            flag(
                "base-path",
                Some("/PREFIX"),
                Some("OPENCODE_BASE_PATH"),
                "Serve below this path, as a proxy passes it on",
            ),
            DIR,
            flag(
                "insecure",
                None,
                Some("OPENCODE_INSECURE"),
                "Serve other machines without a password",
            ),
            flag(
                "log-level",
                Some("LEVEL"),
                Some("OPENCODE_LOG_LEVEL"),
                "How much is logged: error, warn, info, debug or off (info)",
            ),
            flag(
                "log-format",
                Some("text|json"),
                Some("OPENCODE_LOG_FORMAT"),
                "json: one object a line (text)",
            ),
            $($more,)*
            HELP,
        ]
    };
}

/// One of the lists that the API has too.
const fn list(name: &'static str, summary: &'static str) -> Command {
    Command { name, usage: "[OPTIONS]", summary, details: "", flags: LIST, takes_words: false }
}

/// All commands, in the order of the help.
pub(in crate::cli) const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        usage: "[OPTIONS]",
        summary: "Start the API server",
        details: "The first line on standard output is `opencode server listening on URL`.\n\
            Set OPENCODE_SERVER_PASSWORD (or OPENCODE_SERVER_PASSWORD_FILE) to require HTTP \
            Basic credentials; the user is `opencode` or OPENCODE_SERVER_USERNAME. Without a \
            password only this machine is served.\n\
            Settings come from the `server` section of opencode.json; flags and environment go \
            first.",
        flags: server_flags!(),
        takes_words: false,
    },
    Command {
        name: "web",
        usage: "[OPTIONS]",
        summary: "Start the API server with the web page, and open a browser on it",
        details: "The first line on standard output is `opencode server listening on URL`; the \
            page is at that URL.\nA browser is opened only from a terminal with a display, by \
            BROWSER or xdg-open.\nAll else is as with `opencode serve`.",
        flags: server_flags!(flag("no-open", None, None, "Open no browser")),
        takes_words: false,
    },
    Command {
        name: "run",
        usage: "[OPTIONS] [PROMPT...]",
        summary: "Ask once: the answer streams to standard output, then exit",
        details: "Without --attach it runs in this process, in the project directory.\n\
            Standard input that is a pipe or a file is added to the prompt; `-` waits for it; \
            without a prompt it is the prompt. Standard output carries the assistant's text \
            alone, tool activity goes to standard error.\n\
            The password for --attach comes from user:password@ in the URL or from \
            OPENCODE_SERVER_PASSWORD, or is asked for on a terminal.\n\
            Exit status: 0 answered, 1 the turn failed, 2 wrong usage or unknown session, agent \
            or model, 3 server not reachable, 4 not authorised, 5 a tool was refused for want of \
            anybody to permit it, 124 timed out, 130 interrupted (129 and 143 by SIGHUP and \
            SIGTERM).",
        flags: &[
            ATTACH,
            flag(
                "session",
                Some("ID"),
                None,
                "Go on in this session, by as much of its id as tells",
            ),
            flag("continue", None, None, "Go on in the session that changed last"),
            flag("agent", Some("NAME"), None, "The agent that answers (build)"),
            flag("model", Some("PROVIDER/MODEL"), None, "The model that answers"),
            flag("file", Some("PATH"), None, "Add a text file to the prompt; may be repeated"),
            flag("format", Some("text|json"), None, "json: one event a line (text)"),
            flag("title", Some("TEXT"), None, "The title of a new session"),
            flag("timeout", Some("SECONDS"), None, "Stop after this time, with status 124"),
            CA,
            DIR,
            HELP,
        ],
        takes_words: true,
    },
    Command {
        name: "attach",
        usage: "[OPTIONS] URL",
        summary: "Open the terminal UI on a running server",
        details: "URL is http://HOST:PORT, https://HOST or opencode://NAME.local. The password \
            comes from user:password@ in it or from OPENCODE_SERVER_PASSWORD, or is asked for.\n\
            F1 shows the keys. NO_COLOR is obeyed; with TERM=dumb it is a conversation line by \
            line.\n\
            Exit status: 0 left, 2 wrong usage or unknown session, agent or model, 3 server not \
            reachable, 4 not authorised, 129, 130 and 143 ended by a signal.",
        flags: &[
            flag("session", Some("ID"), None, "Open this session"),
            flag("continue", None, None, "Open the session that changed last"),
            flag("agent", Some("NAME"), None, "The agent that answers next"),
            flag("model", Some("PROVIDER/MODEL"), None, "The model that answers next"),
            CA,
            HELP,
        ],
        takes_words: true,
    },
    Command {
        name: "status",
        usage: "[OPTIONS]",
        summary: "Tell in one line whether a server answers, for health checks",
        details: "Without --attach it asks the address that `serve` would take here.\n\
            Exit status: 0 it answers, 3 it does not, 4 not authorised.",
        flags: LIST,
        takes_words: false,
    },
    Command {
        name: "discover",
        usage: "[OPTIONS]",
        summary: "List the servers that mDNS shows on this network",
        details: "Each can be used by its name: `opencode run --attach opencode://NAME.local`.\n\
            Exit status: 0 there are some, 3 there are none.",
        flags: &[
            flag("json", None, None, "JSON, with all addresses"),
            flag("timeout", Some("SECONDS"), None, "How long answers are awaited (2)"),
            HELP,
        ],
        takes_words: false,
    },
    Command {
        name: "sessions list",
        usage: "[OPTIONS]",
        summary: "List the sessions, the newest first; `opencode sessions` does the same",
        details: "Without --attach these are the sessions of the project, whether or not a \
            server runs.",
        flags: LIST,
        takes_words: false,
    },
    Command {
        name: "sessions show",
        usage: "[OPTIONS] ID",
        summary: "Show what was said in a session",
        details: "The beginning of an id is enough where no other id begins so.",
        flags: LIST,
        takes_words: true,
    },
    Command {
        name: "sessions delete",
        usage: "[OPTIONS] ID...",
        summary: "Delete sessions for good",
        details: "A turn that runs in one is stopped first, if it runs where the session is \
            deleted: with --attach, at the server.",
        flags: &[ATTACH, CA, DIR, HELP],
        takes_words: true,
    },
    Command {
        name: "sessions export",
        usage: "[OPTIONS] ID",
        summary: "Print a session as a Markdown document or as JSON",
        details: "",
        flags: &[
            flag("format", Some("markdown|json"), None, "json: as the API gives it (markdown)"),
            ATTACH,
            CA,
            DIR,
            HELP,
        ],
        takes_words: true,
    },
    list("models", "List the models there are, and which can be used"),
    list("providers", "List the model providers, and which key each one wants"),
    list("agents", "List the agents and their tools"),
    Command {
        name: "completions",
        usage: "bash|zsh|fish",
        summary: "Print what completes commands and flags in a shell",
        details: "For bash: `opencode completions bash > \
            ~/.local/share/bash-completion/completions/opencode`.\n\
            For zsh: `opencode completions zsh > _opencode`, in a directory of $fpath.\n\
            For fish: `opencode completions fish > ~/.config/fish/completions/opencode.fish`.",
        flags: &[HELP],
        takes_words: true,
    },
    Command {
        name: "trust",
        usage: "[OPTIONS] [PATH]",
        summary: "Trust a project's own opencode.json with what is yours",
        details: "Before that, a project's file cannot relax permissions that you set, read files \
            outside the project, or have your keys and environment sent to an address that it \
            chose. Look at it first: it is printed what it may do. It is asked for again when \
            those parts of it change.",
        flags: &[
            flag("list", None, None, "List the files that are trusted"),
            flag("remove", None, None, "Trust what lies in PATH no longer"),
            flag("json", None, None, "With --list: JSON"),
            DIR,
            HELP,
        ],
        takes_words: true,
    },
    Command {
        name: "config",
        usage: "[OPTIONS] [FILE]",
        summary: "Show each setting with where it came from, or check the files",
        details: "Secrets are masked. With --check nothing is shown but what is wrong, or a FILE \
            alone is checked.\nExit status: 0 the configuration is right, 2 it is not.",
        flags: server_flags!(
            flag("json", None, None, "JSON"),
            flag("check", None, None, "Only check")
        ),
        takes_words: true,
    },
    Command {
        name: "help",
        usage: "[COMMAND]",
        summary: "Show help for a command",
        details: "",
        flags: &[
            flag("man", None, None, "The manual page: `opencode help --man | man -l -`"),
            HELP,
        ],
        takes_words: true,
    },
];
