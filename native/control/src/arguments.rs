//! Command lines of the native processes: long flags only, `--name value` or `--name=value`.

use std::collections::HashMap;
use std::ffi::OsString;

/// A command line that was understood.
#[derive(Debug, Default)]
pub struct Arguments {
    values: HashMap<&'static str, Vec<String>>,
    /// Words that are no flags, in order.
    pub words: Vec<String>,
    /// What followed `--`, byte for byte; `None` when there was no `--`.
    pub rest: Option<Vec<OsString>>,
}

impl Arguments {
    /// Reads `line` (without the program's name). `flags` take a value; `switches` take none. The error is a sentence
    /// for the user.
    pub fn parse(
        line: impl IntoIterator<Item = OsString>,
        flags: &[&'static str],
        switches: &[&'static str],
    ) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut line = line.into_iter();
        while let Some(word) = line.next() {
            if word == "--" {
                arguments.rest = Some(line.collect());
                break;
            }
            let word = word
                .into_string()
                .map_err(|word| format!("{} is not UTF-8", word.display()))?;
            let Some(flag) = word.strip_prefix("--") else {
                arguments.words.push(word);
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if let Some(known) = switches.iter().find(|known| **known == name) {
                if inline.is_some() {
                    return Err(format!("--{name} takes no value"));
                }
                arguments.values.entry(known).or_default();
            } else if let Some(known) = flags.iter().find(|known| **known == name) {
                let value = match inline {
                    Some(value) => value,
                    None => line
                        .next()
                        .ok_or_else(|| format!("--{name} needs a value"))?
                        .into_string()
                        .map_err(|_| format!("the value of --{name} is not UTF-8"))?,
                };
                arguments.values.entry(known).or_default().push(value);
            } else {
                return Err(format!("unknown flag --{name}"));
            }
        }
        Ok(arguments)
    }

    /// Whether the flag or switch was given.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The flag's last value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// All values of a flag that may be repeated.
    pub fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The flag's value, or a sentence that asks for it.
    pub fn required(&self, name: &str) -> Result<&str, String> {
        self.value(name)
            .ok_or_else(|| format!("--{name} is needed"))
    }

    /// The flag's value as a number; `otherwise` when it was not given.
    pub fn number<T: std::str::FromStr>(&self, name: &str, otherwise: T) -> Result<T, String> {
        match self.value(name) {
            None => Ok(otherwise),
            Some(text) => text
                .parse()
                .map_err(|_| format!("--{name} takes a whole number, not {text:?}")),
        }
    }

    /// The form of log lines that `--log` asks for.
    pub fn log_form(&self) -> Result<crate::log::Form, String> {
        match self.value("log") {
            None | Some("text") => Ok(crate::log::Form::Text),
            Some("json") => Ok(crate::log::Form::Json),
            Some(other) => Err(format!("--log takes text or json, not {other:?}")),
        }
    }
}

/// Exit code: a failure at run time.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code: the command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: another process of the same kind already serves this run directory.
pub const EXIT_ALREADY_RUNNING: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(
            line.iter().map(OsString::from),
            &["run-dir", "listen", "worker-uid"],
            &["help"],
        )
    }

    #[test]
    fn flags_words_and_the_rest_are_told_apart() {
        let arguments = parse(&[
            "key",
            "--run-dir",
            "/x",
            "--listen=a:1",
            "--listen",
            "b:2",
            "--",
            "--help",
        ])
        .unwrap();
        assert_eq!(arguments.words, ["key"]);
        assert_eq!(arguments.required("run-dir"), Ok("/x"));
        assert_eq!(arguments.all("listen"), ["a:1", "b:2"]);
        assert!(!arguments.has("help"));
        assert_eq!(arguments.rest.unwrap(), ["--help"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(
            parse(&["--lisen", "x"]).unwrap_err(),
            "unknown flag --lisen"
        );
        assert_eq!(parse(&["--listen"]).unwrap_err(), "--listen needs a value");
        assert_eq!(parse(&["--help=yes"]).unwrap_err(), "--help takes no value");
        let arguments = parse(&["--worker-uid", "many"]).unwrap();
        assert_eq!(
            arguments.number("worker-uid", 1).unwrap_err(),
            "--worker-uid takes a whole number, not \"many\""
        );
        assert_eq!(
            arguments.required("run-dir").unwrap_err(),
            "--run-dir is needed"
        );
    }
}
