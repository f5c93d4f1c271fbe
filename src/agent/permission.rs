//! Whether a tool call may run: `permission` of the configuration, as `OpenCode` has it.
//!
//! It decides on names and texts alone: no file is looked at, nobody is asked. It does not know
//! who answers, nor how long that takes.
//!
//! **Invariant**: what is not understood is never allowed by a pattern. A rule that restricts is
//! tried against every form in which a call could be meant, a rule that allows only against the
//! one that stands there; the last rule that fits wins. It is a guard on what a model does, and no
//! confinement: an allowed program can do what it likes.

mod always;
mod command;
mod path;
mod rule;
mod shell;

use std::path::{Path, PathBuf};

use serde_json::Value;

use command::{Budget, Command};
use rule::{Action, Rule, group};

/// What the configuration says of tool calls.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Each decides for itself, and the strictest wins.
    sets: Vec<Vec<Rule>>,
    root: Option<PathBuf>,
}

/// What holds for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may run.
    Allow,
    /// It may not.
    Deny {
        /// The rule, for the model and the person.
        reason: String,
    },
    /// Somebody has to say.
    Ask {
        /// The rule, for the person.
        reason: String,
        /// What an `always` answer allows: a [`Grant`] each, with the tool of this call.
        always: Vec<String>,
    },
}

impl Decision {
    /// Of two decisions on one call the one that allows less.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Deny { .. }, _) | (_, Self::Allow) | (Self::Ask { .. }, Self::Ask { .. }) => {
                self
            }
            (Self::Allow | Self::Ask { .. }, Self::Deny { .. })
            | (Self::Allow, Self::Ask { .. }) => other,
        }
    }
}

/// An `always` answer that was given before in the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The tool of the call that was asked for; `OpenCode`'s group of it is granted.
    pub tool: String,
    /// One of [`Decision::Ask`]'s `always`, as it was.
    pub pattern: String,
}

/// A rule that does not simply allow.
struct Hit<'a> {
    rule: &'a Rule,
    /// It was not seen to match, but could: why.
    unseen: Option<&'static str>,
}

/// What the rules say of the parts of a call.
#[derive(Default)]
struct Judgement<'a> {
    deny: Option<&'a Rule>,
    asks: Vec<Hit<'a>>,
}

impl<'a> Judgement<'a> {
    fn add(&mut self, hit: Option<Hit<'a>>) {
        let Some(hit) = hit else { return };
        match (hit.rule.action, hit.unseen) {
            (Action::Deny, None) => {
                self.deny.get_or_insert(hit.rule);
            }
            (Action::Deny, Some(_)) | (Action::Ask | Action::Allow, _) => self.asks.push(hit),
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.deny = self.deny.or(other.deny);
        self.asks.append(&mut other.asks);
    }

    fn decision(self, tool: &str, mut always: Vec<String>) -> Decision {
        if let Some(rule) = self.deny {
            return Decision::Deny {
                reason: format!("the configuration denies {}", rule.label(tool)),
            };
        }
        let Some(hit) = self.asks.first() else { return Decision::Allow };
        let label = hit.rule.label(tool);
        let reason = match (hit.unseen, hit.rule.action) {
            (None, _) => format!("the configuration asks before {label}"),
            (Some(why), Action::Deny) => {
                format!("the configuration denies {label}, which this may be: {why}")
            }
            (Some(why), Action::Ask | Action::Allow) => {
                format!("the configuration asks before {label}, which this may be: {why}")
            }
        };
        let mut seen = std::collections::BTreeSet::new();
        always.retain(|pattern| seen.insert(pattern.clone()));
        Decision::Ask { reason, always }
    }
}

/// A text that rules are held against.
struct Subject<'a> {
    /// What rules that allow are tried against; nothing where it is not certain what it is.
    written: Option<&'a str>,
    /// What rules that restrict are tried against.
    forms: Vec<&'a str>,
    /// Whether a rule that matches none of them may be meant all the same, and why.
    hides: &'a dyn Fn(&Rule) -> Option<&'static str>,
}

impl Policy {
    /// The rules for an agent: its own come after the global ones, and the last that fits wins.
    /// Both are `permission` values whose shape has been checked.
    #[must_use]
    pub fn new(global: &Value, agent: &Value) -> Self {
        let mut rules = Rule::read(global);
        rules.append(&mut Rule::read(agent));
        Self { sets: vec![rules], root: None }
    }

    /// Both hold, and the stricter wins: what files say that are not trusted, and what the person
    /// set.
    #[must_use]
    pub fn stricter_of(mut one: Self, mut other: Self) -> Self {
        one.sets.append(&mut other.sets);
        one.root = one.root.or(other.root);
        one
    }

    /// The project directory, from which absolute paths in it are read.
    #[must_use]
    pub fn in_project(mut self, root: &Path) -> Self {
        self.root = Some(root.to_owned());
        self
    }

    /// Whether a call may run, given what was granted in its session.
    #[must_use]
    pub fn decide(&self, tool: &str, args: &Value, grants: &[Grant]) -> Decision {
        let text = |name: &str| args.get(name).and_then(Value::as_str);
        let grants: Vec<&str> = grants
            .iter()
            .filter(|grant| group(&grant.tool) == group(tool))
            .map(|grant| &*grant.pattern)
            .collect();
        match group(tool) {
            "bash" => self.line(tool, text("command").unwrap_or_default(), &grants),
            "read" | "edit" => self.path(tool, text("path").unwrap_or_default(), &grants),
            "list" => self.path(tool, text("path").unwrap_or("."), &grants),
            "glob" | "grep" => {
                let pattern = text("pattern").unwrap_or_default();
                // OpenCode looks at the pattern alone; a rule that names the path is meant too.
                let path = text("path").map(|path| path::inside(path, self.root.as_deref()));
                let include = text("include");
                let also: Vec<&str> = path.as_deref().into_iter().chain(include).collect();
                self.call(tool, pattern, None, &also, &grants)
            }
            _ => {
                let texts = args.as_object().into_iter().flat_map(|args| args.values());
                let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
                self.unknown(tool, &texts, &grants)
            }
        }
    }

    fn path(&self, tool: &str, given: &str, grants: &[&str]) -> Decision {
        let path = path::inside(given, self.root.as_deref());
        if path::climbs(given) {
            // A link may lie before the `..`, and lead elsewhere than the letters do.
            let why = Some("its path goes up with `..`");
            return self.call(tool, &path, why, &[given], grants);
        }
        self.call(tool, &path, None, &[], grants)
    }

    /// A call that is about one text, and why that is not certain; what else it names can only
    /// restrict, by rules with a pattern.
    fn call(
        &self,
        tool: &str,
        text: &str,
        unsure: Option<&'static str>,
        also: &[&str],
        grants: &[&str],
    ) -> Decision {
        let mut judged = Judgement::default();
        for set in &self.sets {
            let written = unsure.is_none().then_some(text);
            let subject = Subject { written, forms: vec![text], hides: &|_| unsure };
            judged.add(judge(set, tool, &subject));
            for text in also {
                judged.add(restricts(set, tool, text));
            }
        }
        // Who is asked for everything can stop that; a rule on some texts is answered for each.
        let whole = judged.asks.iter().all(|hit| hit.rule.is_whole());
        if judged.deny.is_none() && (whole && grants.contains(&"*") || grants.contains(&text)) {
            return Decision::Allow;
        }
        let offer = match (whole, text) {
            (true, _) => vec!["*".to_owned()],
            (false, "" | "*") => Vec::new(),
            (false, text) => vec![text.to_owned()],
        };
        judged.decision(tool, offer)
    }

    /// A call whose arguments are not known here: no pattern allows it.
    fn unknown(&self, tool: &str, texts: &[&str], grants: &[&str]) -> Decision {
        let mut judged = Judgement::default();
        let hides = |_: &Rule| Some("this tool's arguments are not known here");
        for set in &self.sets {
            let subject = Subject { written: None, forms: texts.to_vec(), hides: &hides };
            judged.add(judge(set, tool, &subject));
        }
        let whole = judged.asks.iter().all(|hit| hit.rule.is_whole());
        if judged.deny.is_none() && whole && grants.contains(&"*") {
            return Decision::Allow;
        }
        judged.decision(tool, if whole { vec!["*".to_owned()] } else { Vec::new() })
    }

    /// A command line: each simple command is decided for itself, and the strictest wins.
    fn line(&self, tool: &str, line: &str, grants: &[&str]) -> Decision {
        let line = line.trim_matches([' ', '\t', '\n']);
        let read = shell::read(line);
        let mut budget = Budget::new();
        let commands: Vec<Command> =
            read.commands.into_iter().map(|words| Command::new(words, &mut budget)).collect();
        let expands = commands.iter().any(Command::expands_quoted);
        let unread = read
            .unread
            .or(commands.is_empty().then_some("it has no command"))
            .or(expands.then_some("it has an expansion"));
        let changed = commands.iter().any(Command::changes_meaning);

        let mut judged = Judgement::default();
        let mut always = Vec::new();
        for command in &commands {
            let hides = |rule: &Rule| match unread {
                Some(why) => Some(why),
                None if changed => Some("it can change what a command means"),
                None => command.may_hide(rule.head()).then_some("not all of it can be seen"),
            };
            let forms = command.spellings.iter().chain([&command.source]);
            let subject = Subject {
                written: unread.is_none().then_some(&*command.source),
                forms: forms.map(String::as_str).collect(),
                hides: &hides,
            };
            let mut one = Judgement::default();
            for set in &self.sets {
                one.add(judge(set, tool, &subject));
                for text in &command.inner {
                    one.add(restricts(set, tool, text));
                }
            }
            if unread.is_none() && one.deny.is_none() && !one.asks.is_empty() {
                let offer = always::offer(command, one.asks.iter().map(|hit| hit.rule));
                if grants.contains(&&*offer) || grants.contains(&&*command.source) {
                    continue;
                }
                always.push(offer);
            }
            judged.merge(one);
        }
        let mut whole = Judgement::default();
        for set in &self.sets {
            if let Some(why) = unread {
                let subject = Subject { written: None, forms: vec![line], hides: &|_| Some(why) };
                whole.add(judge(set, tool, &subject));
            } else {
                whole.add(restricts_line(set, tool, line));
            }
        }
        if unread.is_some() || !whole.asks.is_empty() {
            always = if line.is_empty() { Vec::new() } else { vec![line.to_owned()] };
        }
        judged.merge(whole);
        // Who granted a line has read all of it, and it is the same shell that reads it again: of
        // a line that is the same to the letter, nothing has to be understood here. What it finds
        // (files, variables) may have changed, as it may for any command that was granted.
        if judged.deny.is_none() && grants.contains(&line) {
            return Decision::Allow;
        }
        judged.decision(tool, always)
    }
}

/// What a set of rules says of a text: nothing, where it is allowed.
fn judge<'a>(set: &'a [Rule], tool: &str, subject: &Subject<'_>) -> Option<Hit<'a>> {
    // A rule that was passed, and that would win if the text is not all that it seems.
    let mut unseen = None;
    for rule in set.iter().rev().filter(|rule| rule.covers(tool)) {
        match rule.action {
            Action::Allow => {
                if rule.is_whole() || subject.written.is_some_and(|text| rule.matches(text)) {
                    return unseen;
                }
            }
            Action::Ask | Action::Deny => {
                if rule.is_whole() || subject.forms.iter().any(|text| rule.matches(text)) {
                    return Some(Hit { rule, unseen: None });
                }
                if unseen.is_none() {
                    unseen = (subject.hides)(rule).map(|why| Hit { rule, unseen: Some(why) });
                }
            }
        }
    }
    unseen
}

/// What a set says of a text that a call has beside the one it is about: only rules with a pattern
/// count, and nothing is allowed by it.
fn restricts<'a>(set: &'a [Rule], tool: &str, text: &str) -> Option<Hit<'a>> {
    let mut rules = set.iter().rev().filter(|rule| rule.covers(tool));
    let rule = rules.find(|rule| rule.matches(text))?;
    let restricts = !rule.is_whole() && rule.action != Action::Allow;
    restricts.then_some(Hit { rule, unseen: None })
}

/// A pattern that was written for more than one command, as `curl * | sh` was.
fn restricts_line<'a>(set: &'a [Rule], tool: &str, line: &str) -> Option<Hit<'a>> {
    let rule = set.iter().rev().find(|rule| {
        let joined = rule.pattern().contains([';', '|', '&', '<', '>', '\n']);
        rule.covers(tool) && (rule.is_whole() || joined) && rule.matches(line)
    })?;
    let restricts = !rule.is_whole() && rule.action != Action::Allow;
    restricts.then_some(Hit { rule, unseen: None })
}

#[cfg(test)]
mod tests;
