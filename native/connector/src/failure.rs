//! Why the program ends without having done what it was asked to.

pub enum Failure {
    Usage(String),
    AlreadyRunning(String),
    Other(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}
