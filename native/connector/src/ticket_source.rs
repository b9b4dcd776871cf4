//! Where the ticket of a guest comes from: a file that its owner has put there, or its host, which is asked once.

use std::path::{Path, PathBuf};

use aquifer_control::identity::Identity;
use aquifer_control::info;
use aquifer_control::refusal::Refusal;
use aquifer_control::ticket::LEEWAY_SECONDS;

use crate::address::Address;
use crate::cdi::replace;
use crate::obtaining::obtain;
use crate::offer::now_seconds;
use crate::ticket_file::TicketFile;

/// Where a guest's owner puts it.
const OWNERS: &str = "/etc/aquifer/ticket.json";
/// Where the gateway of the host is, from any guest.
const HOST: Address = Address::Vsock(2, 9960);
/// There in a guest that has vsock.
const VSOCK: &str = "/dev/vsock";

pub struct TicketSource {
    /// The file, which is kept renewed.
    pub file: PathBuf,
    /// Who is asked when it is not there.
    pub ask: Option<Address>,
}

impl TicketSource {
    /// `file` and `ask` are what the command line says; an answer is kept in `state`.
    pub fn choose(file: Option<PathBuf>, ask: Option<&str>, state: &Path) -> Result<Self, String> {
        let kept = state.join("ticket.json");
        let ask = match ask {
            Some(text) => Some(Address::parse(text).ok_or_else(|| {
                format!("--ask: vsock:CID:PORT is wanted, such as {HOST}, not {text:?}")
            })?),
            // An owner's file goes before what was asked for in its absence.
            None if file.is_some() || Path::new(OWNERS).exists() => None,
            None => (kept.exists() || Path::new(VSOCK).exists()).then_some(HOST),
        };
        let otherwise = if ask.is_some() { kept } else { OWNERS.into() };
        Ok(Self {
            file: file.unwrap_or(otherwise),
            ask,
        })
    }

    /// Sees to it that there is a ticket: asks the host where there is none that is of use.
    pub fn see_to_it(&self, identity: &Identity) -> Result<(), Refusal> {
        let Some(address) = &self.ask else {
            return Ok(());
        };
        if is_of_use(&self.file, identity) {
            return Ok(());
        }
        let raw = obtain(address, identity).map_err(|refusal| {
            let message = format!(
                "there is no ticket at {}, and none from the host: {}",
                self.file.display(),
                refusal.message
            );
            Refusal::new(&refusal.reason, message)
        })?;
        replace(&self.file, &raw, 0o600).map_err(|error| {
            Refusal::new("InternalError", format!("{}: {error}", self.file.display()))
        })?;
        info!(
            "the host has given the ticket",
            claim = raw["metadata"]["name"],
            file = self.file.display()
        );
        Ok(())
    }
}

fn is_of_use(file: &Path, identity: &Identity) -> bool {
    let read = std::fs::read(file).ok();
    let parsed = read.and_then(|bytes| TicketFile::parse(&bytes).ok());
    parsed.is_some_and(|file| {
        let ticket = &file.ticket;
        ticket.payload.exp + LEEWAY_SECONDS >= now_seconds()
            && ticket
                .holder
                .is_none_or(|holder| holder == identity.public())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_all_else() {
        let state = Path::new("/nonexistent");
        let source = TicketSource::choose(Some("/t.json".into()), None, state).unwrap();
        assert_eq!((source.file, source.ask), ("/t.json".into(), None));
        let source = TicketSource::choose(None, Some("vsock:2:7"), state).unwrap();
        let kept = PathBuf::from("/nonexistent/ticket.json");
        assert_eq!(
            (source.file, source.ask),
            (kept, Some(Address::Vsock(2, 7)))
        );
        assert!(TicketSource::choose(None, Some("host"), state).is_err());
    }
}
