//! One line a happening, to stderr, for a terminal or for a log collector. Values are quoted: a peer cannot forge a
//! line. Secrets are never given to it.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

static FORM: OnceLock<(&'static str, Form)> = OnceLock::new();

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `gateway: message name="value"`; systemd's priority prefix where stderr goes to the journal.
    Text,
    /// One JSON object a line.
    Json,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody should act.
    Error,
    /// Something was refused or lost, and the process goes on.
    Warning,
    /// What happened.
    Info,
}

/// Says once, at start, who writes and how.
pub fn start(process: &'static str, form: Form) {
    let _ = FORM.set((process, form));
}

/// Writes one line. A stderr that is gone is no reason to end.
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    let (process, form) = FORM.get().copied().unwrap_or(("aquifer", Form::Text));
    let line = match form {
        Form::Json => json_line(process, level, message, fields),
        Form::Text => text_line(process, level, message, fields),
    };
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn json_line(
    process: &str,
    level: Level,
    message: &str,
    fields: &[(&str, &dyn std::fmt::Display)],
) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let word = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
    };
    let mut object = Map::new();
    object.insert("time".into(), (now.as_millis() as u64).into());
    object.insert("level".into(), word.into());
    object.insert("process".into(), process.into());
    object.insert("message".into(), message.into());
    for (name, value) in fields {
        object.insert((*name).into(), value.to_string().into());
    }
    format!("{}\n", Value::Object(object))
}

fn text_line(
    process: &str,
    level: Level,
    message: &str,
    fields: &[(&str, &dyn std::fmt::Display)],
) -> String {
    // sd-daemon(3): the journal takes the priority from this prefix.
    let priority = match (std::env::var_os("JOURNAL_STREAM").is_some(), level) {
        (false, _) => "",
        (true, Level::Error) => "<3>",
        (true, Level::Warning) => "<4>",
        (true, Level::Info) => "<6>",
    };
    let mut line = format!("{priority}{process}: {message}");
    for (name, value) in fields {
        line.push_str(&format!(" {name}={}", Value::String(value.to_string())));
    }
    line.push('\n');
    line
}

/// Writes an `Info` line: `info!("message", name = value, …)`.
#[macro_export]
macro_rules! info {
    ($message:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write($crate::log::Level::Info, $message, &[$((stringify!($name), &$value)),*])
    };
}

/// Writes a `Warning` line.
#[macro_export]
macro_rules! warning {
    ($message:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write($crate::log::Level::Warning, $message, &[$((stringify!($name), &$value)),*])
    };
}

/// Writes an `Error` line.
#[macro_export]
macro_rules! error {
    ($message:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write($crate::log::Level::Error, $message, &[$((stringify!($name), &$value)),*])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_a_line() {
        let hostile = "x\ngateway: all is well";
        for line in [
            text_line("gateway", Level::Info, "refused", &[("program", &hostile)]),
            json_line("gateway", Level::Info, "refused", &[("program", &hostile)]),
        ] {
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.ends_with('\n'));
        }
    }
}
