//! What was typed behind a command, as the table reads it.

use std::ffi::OsString;

use super::Command;
use crate::cli::exit::Failure;
use crate::text::nearest;

/// What was typed behind a command.
pub(in crate::cli) struct Typed {
    command: &'static Command,
    values: Vec<(&'static str, String)>,
    /// The words that are no flags.
    pub(in crate::cli) words: Vec<String>,
}

impl Typed {
    /// Parses what stands behind a command's name.
    ///
    /// # Errors
    /// One line that names what is wrong, with a hint.
    pub(in crate::cli) fn parse(
        command: &'static Command,
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Failure> {
        let mut parser = lexopt::Parser::from_args(args);
        let mut typed = Self { command, values: Vec::new(), words: Vec::new() };
        let usage = |text: String| Failure::usage(command.name, &text);
        while let Some(arg) = parser.next().map_err(|e| usage(e.to_string()))? {
            let (flag, name) = match arg {
                lexopt::Arg::Long(name) => {
                    let name = name.to_owned();
                    (command.flags.iter().find(|flag| flag.name == name), format!("--{name}"))
                }
                lexopt::Arg::Short(short) => {
                    let flag = command.flags.iter().find(|flag| flag.short == Some(short));
                    (flag, format!("-{short}"))
                }
                lexopt::Arg::Value(word) => {
                    let word = text(word).map_err(&usage)?;
                    if !command.takes_words {
                        return Err(usage(format!("unexpected \"{word}\"")));
                    }
                    typed.words.push(word);
                    continue;
                }
            };
            let Some(flag) = flag else {
                let known = command.flags.iter().map(|flag| flag.name);
                let hint = nearest(name.trim_start_matches('-'), known)
                    .map(|near| format!("; did you mean --{near}?"))
                    .unwrap_or_default();
                return Err(usage(format!("unknown flag {name}{hint}")));
            };
            let value = if flag.value.is_some() {
                text(parser.value().map_err(|e| usage(e.to_string()))?).map_err(&usage)?
            } else {
                match parser.optional_value() {
                    Some(value) => text(value).map_err(&usage)?,
                    None => "true".to_owned(),
                }
            };
            typed.values.push((flag.name, value));
        }
        Ok(typed)
    }

    /// The last value of a flag.
    pub(in crate::cli) fn value(&self, name: &str) -> Option<&str> {
        debug_assert!(self.command.flags.iter().any(|flag| flag.name == name), "{name}");
        self.values.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// All values of a flag that may be repeated.
    pub(in crate::cli) fn values(&self, name: &str) -> Vec<String> {
        let all = self.values.iter().filter(|(flag, _)| *flag == name);
        all.map(|(_, value)| value.clone()).collect()
    }

    /// Whether a switch is on; `--switch=false` switches it off.
    ///
    /// # Errors
    /// A value that is neither.
    pub(in crate::cli) fn switch(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.value(name)
            .map(|value| match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(self.wrong(name, "true or false", value)),
            })
            .transpose()
    }

    /// What is wrong with how the command was called.
    pub(in crate::cli) fn usage(&self, text: &str) -> Failure {
        Failure::usage(self.command.name, text)
    }

    /// A flag's value, parsed.
    ///
    /// # Errors
    /// A value that is none of that type, told with what was expected.
    pub(in crate::cli) fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Failure> {
        self.value(name)
            .map(|value| value.parse().map_err(|_| self.wrong(name, expected, value)))
            .transpose()
    }

    /// The failure of a wrong value.
    pub(in crate::cli) fn wrong(&self, name: &str, expected: &str, value: &str) -> Failure {
        let text = format!("--{name} must be {expected}, and is \"{value}\"");
        self.usage(&text)
    }
}

fn text(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|raw| format!("{} is not UTF-8", raw.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn parse(name: &str, args: &[&str]) -> Result<Typed, Failure> {
        Typed::parse(find(name).unwrap(), args.iter().map(OsString::from))
    }

    #[test]
    fn values_switches_and_words_are_told_apart() {
        let typed = parse("run", &["--attach=http://x", "fix", "--file", "a", "it", "--file", "b"]);
        let typed = typed.ok().unwrap();
        assert_eq!(typed.value("attach"), Some("http://x"));
        assert_eq!(typed.values("file"), ["a", "b"]);
        assert_eq!(typed.words, ["fix", "it"]);
        let typed = parse("serve", &["--mdns", "--insecure=false"]).ok().unwrap();
        assert_eq!(typed.switch("mdns").ok().unwrap(), Some(true));
        assert_eq!(typed.switch("insecure").ok().unwrap(), Some(false));
    }

    #[test]
    fn a_wrong_flag_is_told_in_one_line_with_a_hint() {
        let failure = parse("serve", &["--prot", "1"]).err().unwrap();
        assert_eq!(
            failure.to_string(),
            "unknown flag --prot; did you mean --port? See `opencode serve --help`."
        );
        let failure = parse("serve", &["--port"]).err().unwrap();
        assert!(failure.to_string().contains("--port"), "{failure}");
        let typed = parse("serve", &["--port", "http"]).ok().unwrap();
        let failure = typed.parsed::<u16>("port", "a number from 0 to 65535").err().unwrap();
        assert!(failure.to_string().contains("and is \"http\""), "{failure}");
    }
}
