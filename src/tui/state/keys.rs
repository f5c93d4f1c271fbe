//! How what a person types changes what is shown.

use std::time::{Duration, Instant};

use super::edit::Editor;
use super::picker::{Kind, Overlay, Picker};
use super::{Completion, Effect, Scroll, State, Wire};
use crate::tui::api::Query;
use crate::tui::keys::{Code, Key, Typed};

/// Within this time the second Ctrl+C leaves.
const AGAIN: Duration = Duration::from_secs(3);

impl State {
    /// Takes a key or a paste.
    pub(in crate::tui) fn typed(&mut self, typed: Typed, now: Instant) -> Vec<Effect> {
        match typed {
            Typed::Paste(text) => self.paste(&text, now),
            Typed::Key(key) => {
                if key != Key::ctrl('c') {
                    self.leaving = None;
                }
                if self.notice.as_ref().is_some_and(|notice| !notice.is_error) {
                    self.notice = None;
                }
                self.key(key, now)
            }
        }
    }

    fn paste(&mut self, text: &str, now: Instant) -> Vec<Effect> {
        let text: String =
            text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        match &mut self.overlay {
            Some(Overlay::Pick(picker)) => {
                picker.filter.insert(&text.replace('\n', " "));
                picker.selected = 0;
            }
            Some(Overlay::Rename { title, .. }) => _ = title.insert(&text.replace('\n', " ")),
            Some(Overlay::Delete { .. } | Overlay::Keys { .. }) => {}
            None => {
                self.card = None;
                if !self.draft.insert(&text) {
                    self.tell("The text would be over 512 KiB, which no server takes", true, now);
                }
                self.history.settle();
            }
        }
        Vec::new()
    }

    fn key(&mut self, key: Key, now: Instant) -> Vec<Effect> {
        if let Some(effects) = self.everywhere(key, now) {
            return effects;
        }
        if let Some(overlay) = self.overlay.take() {
            return self.over(overlay, key, now);
        }
        if let Some(effects) = self.asked(key, now) {
            return effects;
        }
        if let Some(effects) = self.on_card(key) {
            return effects;
        }
        if let Some(effects) = self.completing(key) {
            return effects;
        }
        if let Some(effects) = self.moving(key) {
            return effects;
        }
        let before = self.draft.text().len();
        let effects = self.writing(key, now);
        if self.draft.text().len() != before {
            self.history.settle();
        }
        effects.into_iter().chain(self.complete()).collect()
    }

    /// Keys that mean the same wherever one is.
    fn everywhere(&mut self, key: Key, now: Instant) -> Option<Vec<Effect>> {
        let pick = |kind| Overlay::Pick(Picker::new(kind));
        let (overlay, query) = match (key.code, key.ctrl, key.alt) {
            (Code::F(1), ..) => (Overlay::Keys { from: 0 }, None),
            (Code::F(2), ..) => (pick(Kind::Sessions), Some(Query::Sessions)),
            (Code::F(3), ..) => (pick(Kind::Models), Some(Query::Models)),
            (Code::F(4), ..) => (pick(Kind::Agents), Some(Query::Agents)),
            (Code::Char('p'), true, false) => (pick(Kind::Commands), None),
            (Code::Char('l'), true, false) => return Some(vec![Effect::Redraw]),
            (Code::Char('z'), true, false) => return Some(vec![Effect::Suspend]),
            (Code::Char('c'), true, false) => return Some(self.leave(now)),
            _ => return None,
        };
        self.overlay = Some(overlay);
        Some(query.map(Effect::Ask).into_iter().collect())
    }

    /// Ctrl+C: closes, clears, leaves.
    fn leave(&mut self, now: Instant) -> Vec<Effect> {
        if self.overlay.take().is_some() {
            return Vec::new();
        }
        if !self.draft.is_empty() {
            let text = self.draft.take();
            self.history.add(&text);
            self.completion = None;
            return Vec::new();
        }
        if self.leaving.is_some_and(|until| now < until) {
            return vec![Effect::Quit];
        }
        self.leaving = Some(now + AGAIN);
        let text = if self.chat.turn.is_some() {
            "Ctrl+C again quits; the turn goes on at the server"
        } else {
            "Ctrl+C again quits"
        };
        self.tell(text, false, now);
        Vec::new()
    }

    /// The keys that answer a question.
    fn asked(&mut self, key: Key, now: Instant) -> Option<Vec<Effect>> {
        if !self.is_asked() || key.ctrl || key.alt {
            return None;
        }
        let reply = match key.code {
            Code::Char('y') => "once",
            Code::Char('a') => "always",
            Code::Char('n') => "reject",
            _ => return None,
        };
        Some(self.reply(reply, now))
    }

    /// Keys on a selected card.
    fn on_card(&mut self, key: Key) -> Option<Vec<Effect>> {
        let selected = self.card.clone()?;
        let cards = self.chat.cards();
        let at = cards.iter().position(|card| *card == selected);
        let step = match key.code {
            Code::Tab | Code::Up => -1,
            Code::BackTab | Code::Down => 1,
            Code::Enter => {
                // What is drawn decides how it began; here it is turned over.
                let is_open = self.shows_open(&selected);
                self.opened.insert(selected.clone(), !is_open);
                self.chat.touch_card(&selected);
                return Some(vec![Effect::Reveal]);
            }
            Code::Esc => {
                self.card = None;
                return Some(Vec::new());
            }
            Code::Char(_) => {
                self.card = None;
                return None;
            }
            _ => return None,
        };
        let next = at.map(|at| at.saturating_add_signed(step));
        match next.and_then(|next| cards.get(next)) {
            Some(card) if step > 0 || at != Some(0) => self.card = Some(card.clone()),
            _ if step > 0 => self.card = None,
            _ => {}
        }
        Some(vec![Effect::Reveal])
    }

    /// Keys while paths are offered.
    fn completing(&mut self, key: Key) -> Option<Vec<Effect>> {
        let completion = self.completion.as_mut().filter(|one| !one.paths.is_empty())?;
        let last = completion.paths.len() - 1;
        match key.code {
            Code::Up => completion.selected = completion.selected.checked_sub(1).unwrap_or(last),
            Code::Down => {
                completion.selected =
                    if completion.selected == last { 0 } else { completion.selected + 1 };
            }
            Code::Tab => {
                let path = completion.paths[completion.selected].clone();
                let is_folder = path.ends_with('/');
                if let Some((start, _)) = self.draft.mention() {
                    let quote = if path.contains(char::is_whitespace) { "\"" } else { "" };
                    let mut name = format!("@{quote}{path}");
                    if !is_folder {
                        name.extend([quote, " "]);
                    }
                    self.draft.replace_back_to(start, &name);
                }
                self.completion = None;
                return Some(self.complete());
            }
            Code::Esc => self.completion = None,
            _ => return None,
        }
        Some(Vec::new())
    }

    /// Offers paths for the word at the cursor.
    fn complete(&mut self) -> Vec<Effect> {
        let Some((_, query)) = self.draft.mention() else {
            self.completion = None;
            return Vec::new();
        };
        if self.completion.as_ref().is_some_and(|known| known.query == query) {
            return Vec::new();
        }
        let query = query.to_owned();
        // What was offered stays in sight until the answer comes.
        let paths = self.completion.take().map(|known| known.paths).unwrap_or_default();
        self.completion = Some(Completion { query: query.clone(), paths, selected: 0 });
        if self.wire == Wire::Up { vec![Effect::Ask(Query::Files { query })] } else { Vec::new() }
    }

    /// Keys that move through the transcript.
    fn moving(&mut self, key: Key) -> Option<Vec<Effect>> {
        let is_empty = self.draft.is_empty();
        let scroll = match key.code {
            Code::PageUp => Scroll::Pages(-1),
            Code::PageDown => Scroll::Pages(1),
            Code::Up if key.shift => Scroll::Lines(-1),
            Code::Down if key.shift => Scroll::Lines(1),
            Code::End if is_empty || key.ctrl => Scroll::End,
            Code::Home if is_empty || key.ctrl => Scroll::Top,
            Code::Tab => {
                self.card = self.chat.cards().pop();
                return Some(vec![Effect::Reveal]);
            }
            Code::BackTab => return Some(Vec::new()),
            Code::Esc => return Some(self.stop()),
            _ => return None,
        };
        Some(vec![Effect::Scroll(scroll)])
    }

    /// Keys that write the draft.
    fn writing(&mut self, key: Key, now: Instant) -> Vec<Effect> {
        match (key.code, key.ctrl, key.alt) {
            (Code::Enter, false, false) if !key.shift => return self.send(now),
            (Code::Enter, ..) | (Code::Char('j'), true, _) => _ = self.draft.insert("\n"),
            (Code::Up, false, false) => {
                if !self.draft.up() {
                    self.history.back(&mut self.draft);
                }
            }
            (Code::Down, false, false) => {
                if !self.draft.down() {
                    self.history.forth(&mut self.draft);
                }
            }
            (Code::Char('r'), true, false) => {
                self.overlay = Some(Overlay::Pick(Picker::new(Kind::History)));
            }
            (Code::Char('d'), true, false) if self.draft.is_empty() => return vec![Effect::Quit],
            _ => {
                if !edit(&mut self.draft, key) {
                    self.tell("The text would be over 512 KiB, which no server takes", true, now);
                }
            }
        }
        Vec::new()
    }
}

/// The keys of a line that is edited, as shells have them. `false` where the text is full.
pub(super) fn edit(editor: &mut Editor, key: Key) -> bool {
    match (key.code, key.ctrl, key.alt) {
        (Code::Char(c), false, false) => return editor.insert(c.encode_utf8(&mut [0; 4])),
        (Code::Backspace | Code::Char('w'), true, _) | (Code::Backspace, _, true) => {
            editor.cut_word_left();
        }
        (Code::Backspace, ..) | (Code::Char('h'), true, _) => editor.backspace(),
        (Code::Delete, true, _) | (Code::Char('d'), false, true) => editor.cut_word_right(),
        (Code::Delete, ..) | (Code::Char('d'), true, _) => editor.delete(),
        (Code::Left, false, false) | (Code::Char('b'), true, _) => editor.left(),
        (Code::Right, false, false) | (Code::Char('f'), true, _) => editor.right(),
        (Code::Left, ..) | (Code::Char('b'), _, true) => editor.word_left(),
        (Code::Right, ..) | (Code::Char('f'), _, true) => editor.word_right(),
        (Code::Home, ..) | (Code::Char('a'), true, _) => editor.home(),
        (Code::End, ..) | (Code::Char('e'), true, _) => editor.end(),
        (Code::Char('u'), true, _) => editor.cut_to_start(),
        (Code::Char('k'), true, _) => editor.cut_to_end(),
        (Code::Char('y'), true, _) => editor.put_back(),
        _ => {}
    }
    true
}
