//! How what a person types changes what lies over the transcript.

use std::time::Instant;

use super::chat::Sync;
use super::edit::Editor;
use super::keys::edit;
use super::picker::{Act, KEYS, Kind, Overlay, Picker};
use super::{Effect, State};
use crate::tui::api::Query;
use crate::tui::keys::{Code, Key};

impl State {
    /// Keys in what lies over the transcript.
    pub(super) fn over(&mut self, overlay: Overlay, key: Key, now: Instant) -> Vec<Effect> {
        if key.code == Code::Esc {
            return Vec::new();
        }
        match overlay {
            Overlay::Pick(picker) => self.picking(picker, key, now),
            Overlay::Rename { id, mut title } => {
                if key == Key::plain(Code::Enter) {
                    let title = title.take().trim().to_owned();
                    if title.is_empty() {
                        return Vec::new();
                    }
                    return vec![Effect::Ask(Query::Rename { session: id, title })];
                }
                edit(&mut title, key);
                self.overlay = Some(Overlay::Rename { id, title });
                Vec::new()
            }
            Overlay::Delete { id, title } => match key.code {
                Code::Char('y') => vec![Effect::Ask(Query::Delete { session: id })],
                Code::Char('n') => Vec::new(),
                _ => {
                    self.overlay = Some(Overlay::Delete { id, title });
                    Vec::new()
                }
            },
            Overlay::Keys { from } => {
                let from = match key.code {
                    Code::Down => from + 1,
                    Code::Up => from.saturating_sub(1),
                    Code::PageDown => from + 8,
                    Code::PageUp => from.saturating_sub(8),
                    _ => return Vec::new(),
                };
                self.overlay = Some(Overlay::Keys { from: from.min(2 * KEYS.len()) });
                Vec::new()
            }
        }
    }

    fn picking(&mut self, mut picker: Picker, key: Key, now: Instant) -> Vec<Effect> {
        let rows = self.rows(&picker);
        let last = rows.len().saturating_sub(1);
        let selected = picker.selected.min(last);
        let session = match rows.get(selected).map(|row| &row.act) {
            Some(Act::Open { id, title }) => Some((id.clone(), title.clone())),
            _ => None,
        };
        let is_sessions = picker.kind == Kind::Sessions;
        picker.selected = match (key.code, key.ctrl) {
            (Code::Up, _) => selected.checked_sub(1).unwrap_or(last),
            (Code::Down, _) => {
                if selected == last {
                    0
                } else {
                    selected + 1
                }
            }
            (Code::PageUp, _) => selected.saturating_sub(8),
            (Code::PageDown, _) => (selected + 8).min(last),
            (Code::Enter, _) => {
                let Some(row) = rows.into_iter().nth(selected) else {
                    self.overlay = Some(Overlay::Pick(picker));
                    return Vec::new();
                };
                if !row.is_usable {
                    self.tell(format!("{}: {}", row.label, row.detail), true, now);
                    self.overlay = Some(Overlay::Pick(picker));
                    return Vec::new();
                }
                return self.act(row.act);
            }
            (Code::Char('n'), true) if is_sessions => return self.act(Act::New),
            (Code::Char('e'), true) if is_sessions => {
                if let Some((id, title)) = session {
                    self.overlay = Some(Overlay::Rename { id, title: Editor::of(&title) });
                    return Vec::new();
                }
                selected
            }
            (Code::Char('d'), true) if is_sessions => {
                if let Some((id, title)) = session {
                    self.overlay = Some(Overlay::Delete { id, title });
                    return Vec::new();
                }
                selected
            }
            _ => {
                let before = picker.filter.text().to_owned();
                edit(&mut picker.filter, key);
                if picker.filter.text() == before { selected } else { 0 }
            }
        };
        self.overlay = Some(Overlay::Pick(picker));
        Vec::new()
    }

    /// Does what a row is for.
    fn act(&mut self, act: Act) -> Vec<Effect> {
        let here = self.chat.id.clone();
        match act {
            Act::New => return self.show(None),
            Act::Open { id, title } => {
                let is_here = here.as_ref() == Some(&id) && self.chat.sync == Sync::Live;
                if !is_here {
                    return self.show(Some((&id, &title)));
                }
            }
            Act::Model(id) => self.model = Some(id),
            Act::Agent(id) => self.agent = Some(id),
            Act::Recall(text) => self.draft.set(&text),
            Act::Pick(kind) => {
                self.overlay = Some(Overlay::Pick(Picker::new(kind)));
                let query = match kind {
                    Kind::Sessions => Some(Query::Sessions),
                    Kind::Models => Some(Query::Models),
                    Kind::Agents => Some(Query::Agents),
                    Kind::Commands | Kind::History => None,
                };
                return query.map(Effect::Ask).into_iter().collect();
            }
            Act::Rename => {
                self.overlay =
                    here.map(|id| Overlay::Rename { id, title: Editor::of(&self.chat.title) });
            }
            Act::Delete => {
                let title = self.chat.title.clone();
                self.overlay = here.map(|id| Overlay::Delete { id, title });
            }
            Act::Stop => return self.stop(),
            Act::Keys => self.overlay = Some(Overlay::Keys { from: 0 }),
            Act::Redraw => return vec![Effect::Redraw],
            Act::Quit => return vec![Effect::Quit],
        }
        Vec::new()
    }
}
