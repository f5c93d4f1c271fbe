//! What lies over the transcript: lists to pick from, a title to change, a question before
//! something is deleted, the keys.

use super::edit::Editor;
use super::{State, Wire};

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sessions,
    Models,
    Agents,
    Commands,
    History,
}

/// A list to pick from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picker {
    pub(crate) kind: Kind,
    pub(crate) filter: Editor,
    pub(crate) selected: usize,
}

/// What lies over the transcript.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Overlay {
    Pick(Picker),
    Rename { id: String, title: Editor },
    Delete { id: String, title: String },
    Keys { from: usize },
}

/// What picking a row does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    New,
    Open { id: String, title: String },
    Model(String),
    Agent(String),
    Recall(String),
    Pick(Kind),
    Rename,
    Delete,
    Stop,
    Keys,
    Redraw,
    Quit,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) mark: &'static str,
    pub(crate) label: String,
    pub(crate) detail: String,
    /// It can be picked.
    pub(crate) is_usable: bool,
    pub(crate) act: Act,
}

const COMMANDS: [(&str, &str, Act); 11] = [
    ("New session", "Ctrl+N in F2", Act::New),
    ("Sessions", "F2", Act::Pick(Kind::Sessions)),
    ("Models", "F3", Act::Pick(Kind::Models)),
    ("Agents", "F4", Act::Pick(Kind::Agents)),
    ("Earlier messages", "Ctrl+R", Act::Pick(Kind::History)),
    ("Stop the turn", "Esc", Act::Stop),
    ("Rename this session", "", Act::Rename),
    ("Delete this session", "", Act::Delete),
    ("Keys", "F1", Act::Keys),
    ("Draw the screen anew", "Ctrl+L", Act::Redraw),
    ("Quit", "Ctrl+C", Act::Quit),
];

/// The keys, as F1 shows them.
pub(crate) const KEYS: [(&str, &str); 25] = [
    ("Enter", "send; on a card: open it; server gone: now"),
    ("Alt+Enter, Ctrl+J", "a new line"),
    ("Esc", "stop the turn; close a list"),
    ("y  a  n", "a tool asks: once, always, refuse"),
    ("Tab", "complete @file; else select cards, a question"),
    ("Up, Down", "lines; at the first and last: earlier messages"),
    ("PgUp, PgDn", "scroll"),
    ("Shift+Up, Shift+Down", "scroll by a line"),
    ("End", "in an empty input: to the end, and follow"),
    ("Home", "in an empty input: to the top"),
    ("F1", "these keys"),
    ("F2", "sessions, to open, name, delete"),
    ("F3", "models"),
    ("F4", "agents"),
    ("Ctrl+P", "all commands"),
    ("Ctrl+R", "earlier messages"),
    ("Ctrl+L", "draw the screen anew"),
    ("Alt+B, Alt+F", "a word left, right; Ctrl+Left, Ctrl+Right too"),
    ("Home, End", "to the ends of the line; Ctrl+A, Ctrl+E too"),
    ("Ctrl+W, Alt+D", "cut a word left, right"),
    ("Ctrl+U, Ctrl+K", "cut to the line's start, end"),
    ("Ctrl+Y", "put back what was cut"),
    ("Ctrl+Z", "suspend; `fg` comes back"),
    ("Ctrl+C", "clear the input; again: quit"),
    ("Ctrl+D", "in an empty input: quit"),
];

impl Picker {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, filter: Editor::default(), selected: 0 }
    }

    /// What the list is called.
    pub(crate) fn title(&self) -> &'static str {
        match self.kind {
            Kind::Sessions => "Sessions",
            Kind::Models => "Models",
            Kind::Agents => "Agents",
            Kind::Commands => "Commands",
            Kind::History => "Earlier messages",
        }
    }

    /// What else can be done here.
    pub(crate) fn hint(&self) -> &'static str {
        match self.kind {
            Kind::Sessions => "Enter opens  ^N new  ^E rename  ^D delete",
            _ => "Enter picks  Esc closes",
        }
    }
}

impl State {
    /// The rows of a list that match what was typed.
    pub(crate) fn rows(&self, picker: &Picker) -> Vec<Row> {
        let mut rows = match picker.kind {
            Kind::Sessions => self.session_rows(),
            Kind::Models => self.model_rows(),
            Kind::Agents => self.agent_rows(),
            Kind::Commands => COMMANDS.iter().map(command).collect(),
            Kind::History => self.history.newest_first().map(recalled).collect(),
        };
        let wanted = picker.filter.text().to_lowercase();
        let words: Vec<_> = wanted.split_whitespace().collect();
        rows.retain(|row| {
            let text = format!("{} {}", row.label, row.detail).to_lowercase();
            words.iter().all(|word| text.contains(word))
        });
        rows
    }

    /// Whether a list is still on its way.
    pub(crate) fn is_awaited(&self, kind: Kind) -> bool {
        let is_empty = match kind {
            Kind::Models => self.models.is_empty(),
            Kind::Agents => self.agents.is_empty(),
            Kind::Sessions | Kind::Commands | Kind::History => false,
        };
        is_empty && self.wire == Wire::Up
    }

    fn session_rows(&self) -> Vec<Row> {
        let new = Row {
            mark: "+",
            label: "New session".to_owned(),
            detail: String::new(),
            is_usable: true,
            act: Act::New,
        };
        let known = self.sessions.iter().map(|session| {
            let is_here = self.chat.id.as_ref() == Some(&session.id);
            let (mark, word) = match (session.waiting, &*session.status, is_here) {
                (true, _, _) => ("?", "asks you"),
                (false, "running", _) => ("●", "running"),
                (false, _, true) => ("▌", ""),
                (false, _, false) => (" ", ""),
            };
            let detail = if word.is_empty() { &session.age } else { word }.to_owned();
            let act = Act::Open { id: session.id.clone(), title: session.title.clone() };
            Row { mark, label: session.title.clone(), detail, is_usable: true, act }
        });
        std::iter::once(new).chain(known).collect()
    }

    fn model_rows(&self) -> Vec<Row> {
        let mut rows: Vec<_> = self
            .models
            .iter()
            .map(|model| {
                let is_here = model.id == self.model();
                let size = model.context_window.map(|tokens| format!("{}k", tokens / 1000));
                let detail = match (&model.wants, model.available) {
                    (_, true) => size.unwrap_or_default(),
                    (Some(variable), false) => format!("no key: set {variable}"),
                    (None, false) => "not available".to_owned(),
                };
                Row {
                    mark: if is_here { "▌" } else { " " },
                    label: model.id.clone(),
                    detail,
                    is_usable: model.available,
                    act: Act::Model(model.id.clone()),
                }
            })
            .collect();
        // What can be picked first.
        rows.sort_by_key(|row| !row.is_usable);
        rows
    }

    fn agent_rows(&self) -> Vec<Row> {
        let row = |agent: &crate::tui::api::Agent| Row {
            mark: if agent.id == self.agent() { "▌" } else { " " },
            label: agent.id.clone(),
            detail: agent.description.clone(),
            is_usable: true,
            act: Act::Agent(agent.id.clone()),
        };
        self.agents.iter().map(row).collect()
    }
}

fn command((label, key, act): &(&str, &str, Act)) -> Row {
    Row {
        mark: " ",
        label: (*label).to_owned(),
        detail: (*key).to_owned(),
        is_usable: true,
        act: act.clone(),
    }
}

fn recalled(text: &str) -> Row {
    Row {
        mark: " ",
        label: text.replace('\n', " ⏎ "),
        detail: String::new(),
        is_usable: true,
        act: Act::Recall(text.to_owned()),
    }
}
