//! The ticket that stands behind a session socket.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aquifer_control::identity::HolderKey;
use aquifer_control::refusal::Refusal;
use aquifer_control::ticket::{LEEWAY_SECONDS, peek};
use aquifer_control::warning;
use serde_json::Value;

use crate::gateway_link::GatewayKey;
use crate::state::State;
use crate::ticket_file::TicketFile;

/// After a renewal that was refused or not answered.
const RENEW_AGAIN: Duration = Duration::from_secs(5);

/// Seconds since 1970.
pub fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

pub struct Offer {
    pub path: PathBuf,
    pub file: TicketFile,
    /// The file as it was given, to be stored.
    pub raw: Value,
    pub gateway: GatewayKey,
    /// When to renew; `None` while an answer is waited for.
    pub renew_at: Option<Instant>,
    /// Why the last renewal failed.
    pub trouble: Option<Refusal>,
}

impl Offer {
    /// A ticket that may have been renewed since it was given: the newer of it and the one stored is taken.
    pub fn renewable(
        path: &Path,
        raw: Value,
        holder: &HolderKey,
        state: &State,
    ) -> Result<Self, Refusal> {
        let file = take_newest(TicketFile::from_value(raw.clone())?, holder, state);
        Ok(Self::new(path, raw, bound_to(file, holder)?))
    }

    /// A ticket that was made just now.
    pub fn fresh(path: &Path, raw: Value, holder: &HolderKey) -> Result<Self, Refusal> {
        let file = TicketFile::from_value(raw.clone())?;
        Ok(Self::new(path, raw, bound_to(file, holder)?))
    }

    fn new(path: &Path, raw: Value, file: TicketFile) -> Self {
        let gateway = GatewayKey {
            node: file.node.clone(),
            addresses: file.addresses.clone(),
            ca_pem: file.ca_pem.clone(),
        };
        let renew_at = Some(Instant::now() + until_renewal(&file));
        Self {
            path: path.to_owned(),
            file,
            raw,
            gateway,
            renew_at,
            trouble: None,
        }
    }

    /// Whether the gateway would open a session on its ticket.
    pub fn is_bound(&self) -> bool {
        self.file.ticket.holder.is_some()
    }

    /// Whether its ticket is worth showing.
    pub fn is_valid(&self) -> bool {
        self.file.ticket.payload.exp + LEEWAY_SECONDS >= now_seconds()
    }

    pub fn claim_uid(&self) -> &str {
        &self.file.ticket.payload.claim.uid
    }

    /// Takes the gateway's answer to renew.
    pub fn renewed(&mut self, answer: Result<String, Refusal>, state: &State) {
        let taken = answer.and_then(|compact| Ok((peek(&compact)?, compact)));
        match taken {
            // It was asked for under the terms before.
            Ok((ticket, _)) if ticket.payload.claim.uid != self.claim_uid() => {}
            Ok((ticket, compact)) => {
                if let Err(error) = state.store_ticket(&ticket.payload.claim.uid, &compact) {
                    warning!(
                        "the renewed ticket could not be stored",
                        claim = self.file.claim,
                        reason = error
                    );
                }
                self.file.ticket = ticket;
                self.file.compact = compact;
                self.trouble = None;
                self.renew_at =
                    Some(Instant::now() + until_renewal(&self.file).max(Duration::from_secs(1)));
            }
            Err(refusal) => {
                if self.trouble.as_ref() != Some(&refusal) {
                    warning!(
                        "the ticket could not be renewed",
                        claim = self.file.claim,
                        reason = refusal
                    );
                }
                self.trouble = Some(refusal);
                self.renew_at = Some(Instant::now() + RENEW_AGAIN);
            }
        }
    }
}

fn take_newest(mut file: TicketFile, holder: &HolderKey, state: &State) -> TicketFile {
    let stored = state.ticket(&file.ticket.payload.claim.uid);
    let stored = stored.and_then(|compact| Some((peek(&compact).ok()?, compact)));
    if let Some((ticket, compact)) =
        stored.filter(|(ticket, _)| ticket.holder.as_ref() == Some(holder))
    {
        let bound_elsewhere = file.ticket.holder.as_ref() != Some(holder);
        if bound_elsewhere || ticket.payload.exp >= file.ticket.payload.exp {
            file.ticket = ticket;
            file.compact = compact;
        }
    }
    file
}

fn bound_to(file: TicketFile, holder: &HolderKey) -> Result<TicketFile, Refusal> {
    match &file.ticket.holder {
        Some(bound) if bound != holder => {
            let message = format!(
                "the ticket is bound to another key, not to this connector's; get one for it: {}",
                file.another(&format!(" --for {holder}"))
            );
            Err(Refusal::new("TicketStolen", message))
        }
        _ => Ok(file),
    }
}

/// Half of what is left of its life; an unbound one is exchanged at once.
fn until_renewal(file: &TicketFile) -> Duration {
    match &file.ticket.holder {
        None => Duration::ZERO,
        Some(_) => {
            let left = file.ticket.payload.exp.saturating_sub(now_seconds());
            // A life of centuries is no reason to overflow the clock.
            Duration::from_secs((left / 2).min(7 * 24 * 3600))
        }
    }
}
