//! What can go wrong: at load (`LoadError`) and while a kernel runs (`Fault`).

use std::fmt;

/// Why a PTX text was refused, and where. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    pub line: u32,
    pub column: u32,
    pub message: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )
    }
}

impl std::error::Error for LoadError {}

/// A place in the source, from which errors are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub fn error(self, message: impl Into<String>) -> LoadError {
        LoadError {
            line: self.line,
            column: self.column,
            message: message.into(),
        }
    }
}

/// Why a launch ended early. `line` is the line of the PTX source whose instruction did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A lane touched memory that is not there, or not for this kind of access.
    IllegalAddress {
        address: u64,
        kernel: String,
        line: u32,
    },
    /// A lane's address is not a multiple of the access size.
    Misaligned {
        address: u64,
        kernel: String,
        line: u32,
    },
    /// `trap` or `brkpt` was executed.
    IllegalInstruction { kernel: String, line: u32 },
    /// The kernel called `__assertfail`.
    Assert { kernel: String, line: u32 },
    /// Calls went deeper than a lane's stack.
    StackOverflow { kernel: String, line: u32 },
    /// Every thread left waits at a barrier that can never complete.
    BarrierDeadlock { kernel: String, line: u32 },
    /// The launch itself is impossible; the text says which field and why.
    InvalidLaunch(String),
    /// It ran beyond its deadline.
    TimedOut { kernel: String },
    /// The caller's stop flag was seen.
    Stopped,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::IllegalAddress {
                address,
                kernel,
                line,
            } => {
                write!(f, "{kernel}, PTX line {line}: illegal address {address:#x}")
            }
            Fault::Misaligned {
                address,
                kernel,
                line,
            } => {
                write!(
                    f,
                    "{kernel}, PTX line {line}: misaligned address {address:#x}"
                )
            }
            Fault::IllegalInstruction { kernel, line } => {
                write!(f, "{kernel}, PTX line {line}: trap")
            }
            Fault::Assert { kernel, line } => {
                write!(f, "{kernel}, PTX line {line}: assertion failed")
            }
            Fault::StackOverflow { kernel, line } => {
                write!(f, "{kernel}, PTX line {line}: call stack overflow")
            }
            Fault::BarrierDeadlock { kernel, line } => {
                write!(
                    f,
                    "{kernel}, PTX line {line}: every remaining thread waits at a barrier that cannot complete"
                )
            }
            Fault::InvalidLaunch(why) => write!(f, "launch refused: {why}"),
            Fault::TimedOut { kernel } => write!(f, "{kernel} ran for longer than the limit"),
            Fault::Stopped => write!(f, "stopped"),
        }
    }
}

impl std::error::Error for Fault {}
