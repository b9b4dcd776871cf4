//! Tickets: what was promised to a claim, signed by the pool (JWS, Ed25519), checked without asking anyone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::HolderKey;
use crate::limits::MAX_MESSAGE;
use crate::refusal::Refusal;

/// Seconds that clocks of two hosts may differ by.
pub const LEEWAY_SECONDS: u64 = 30;

/// Most vGPUs of one claim, as the kind's schema has it.
const MAX_VGPUS: usize = 16;

/// One of the pool's public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    /// Its name in a ticket's header.
    pub kid: String,
    /// base64url of its 32 bytes.
    pub x: String,
}

/// The claim that a ticket speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another claim of the same name is another claim.
    pub uid: String,
}

/// One promised vGPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromisedGpu {
    /// Which device the program sees it as.
    pub index: u32,
    /// The GPU's UUID.
    pub gpu: String,
    /// Bytes.
    pub memory_bytes: u64,
    /// Percent of the GPU's time.
    pub compute_percent: u32,
}

#[derive(Debug, Clone, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Confirmation {
    jwk: Jwk,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
}

/// What a ticket says, as far as it is needed here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// Its own id.
    pub jti: String,
    /// Seconds since 1970.
    pub iat: u64,
    /// Seconds since 1970.
    pub nbf: u64,
    /// Seconds since 1970.
    pub exp: u64,
    /// The epoch of whoever signed it.
    pub epoch: u64,
    /// The claim it speaks for.
    pub claim: ClaimName,
    /// What was promised.
    pub vgpus: Vec<PromisedGpu>,
    /// How many sessions the claim may have at once.
    pub max_sessions: u32,
    cnf: Option<Confirmation>,
}

/// A ticket whose signature holds.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// What it says.
    pub payload: Payload,
    /// The key it is bound to; `None`: it is good only for exchange.
    pub holder: Option<HolderKey>,
    /// The payload as it was signed, for the backend.
    pub raw: Value,
}

/// What tickets are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Verifier<'a> {
    /// The pool's keys.
    pub keys: &'a [TicketKey],
    /// The highest epoch seen.
    pub min_epoch: u64,
    /// Seconds since 1970.
    pub now: u64,
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(
        "TicketMalformed",
        format!("the ticket is not well-formed: {what}"),
    )
}

fn decode_part(part: &str, what: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|error| malformed(&format!("{what}: {error}")))
}

/// Reads a ticket without checking its signature: for its holder, who wants to know when to renew it. Nobody may be
/// let in on the strength of this.
pub fn peek(compact: &str) -> Result<Ticket, Refusal> {
    let (_, signed, _) = split(compact)?;
    let (_, payload) = signed
        .split_once('.')
        .ok_or_else(|| malformed("no payload"))?;
    read_payload(payload)
}

/// The header, what is signed, and the signature.
fn split(compact: &str) -> Result<(&str, &str, &str), Refusal> {
    if compact.len() > MAX_MESSAGE {
        return Err(malformed("it is too long"));
    }
    let (signed, signature) = compact
        .rsplit_once('.')
        .ok_or_else(|| malformed("it has not three parts"))?;
    let (header, payload) = signed
        .split_once('.')
        .ok_or_else(|| malformed("it has not three parts"))?;
    if payload.contains('.') {
        return Err(malformed("it has more than three parts"));
    }
    Ok((header, signed, signature))
}

fn read_payload(encoded: &str) -> Result<Ticket, Refusal> {
    let bytes = decode_part(encoded, "payload")?;
    let raw: Value =
        serde_json::from_slice(&bytes).map_err(|error| malformed(&format!("payload: {error}")))?;
    let payload =
        Payload::deserialize(&raw).map_err(|error| malformed(&format!("payload: {error}")))?;
    if payload.vgpus.is_empty() || payload.vgpus.len() > MAX_VGPUS {
        return Err(malformed(&format!(
            "vgpus: {} of them, 1 to {MAX_VGPUS} are possible",
            payload.vgpus.len()
        )));
    }
    let holder = match &payload.cnf {
        None => None,
        Some(Confirmation { jwk }) if jwk.kty == "OKP" && jwk.crv == "Ed25519" => {
            Some(HolderKey::parse(&jwk.x).ok_or_else(|| malformed("cnf.jwk.x is no Ed25519 key"))?)
        }
        Some(_) => return Err(malformed("cnf.jwk is no Ed25519 key")),
    };
    Ok(Ticket {
        payload,
        holder,
        raw,
    })
}

impl Verifier<'_> {
    /// Checks form, signature, times and epoch. Whose it is remains to be asked: [`Ticket::held_by`].
    pub fn verify(&self, compact: &str) -> Result<Ticket, Refusal> {
        let (header, signed, signature) = split(compact)?;
        let header = decode_part(header, "header")?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|error| malformed(&format!("header: {error}")))?;
        if header.alg != "EdDSA" || header.typ != "aquifer-ticket+jwt" {
            return Err(malformed(
                "header: alg must be EdDSA and typ aquifer-ticket+jwt",
            ));
        }
        let signature = decode_part(signature, "signature")?;
        let forged = || Refusal::new("TicketForged", "the ticket's signature is not the pool's");
        let key = self
            .keys
            .iter()
            .find(|key| key.kid == header.kid)
            .ok_or_else(|| {
                Refusal::new(
                    "TicketForged",
                    "the ticket is signed with a key that this pool does not have",
                )
            })?;
        let key = HolderKey::parse(&key.x).ok_or_else(forged)?;
        UnparsedPublicKey::new(&ED25519, key.0)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| forged())?;
        let payload = signed.split_once('.').map_or("", |(_, payload)| payload);
        let ticket = read_payload(payload)?;
        self.check_times(&ticket.payload)?;
        Ok(ticket)
    }

    fn check_times(&self, payload: &Payload) -> Result<(), Refusal> {
        let expired_for = self.now.saturating_sub(payload.exp);
        if expired_for > LEEWAY_SECONDS {
            return Err(Refusal::new(
                "TicketExpired",
                format!("the ticket expired {expired_for} s ago"),
            ));
        }
        let ahead = payload.nbf.saturating_sub(self.now);
        if ahead > LEEWAY_SECONDS {
            let message = format!(
                "the ticket is valid only in {ahead} s; are the clocks of both hosts right?"
            );
            return Err(Refusal::new("TicketNotYetValid", message));
        }
        if payload.epoch < self.min_epoch {
            let message = format!(
                "the ticket is of epoch {}, the pool is at {}",
                payload.epoch, self.min_epoch
            );
            return Err(Refusal::new("EpochTooOld", message));
        }
        Ok(())
    }
}

impl Ticket {
    /// Refuses a ticket that is bound to another key than `holder`'s, or to none.
    pub fn held_by(&self, holder: &HolderKey) -> Result<(), Refusal> {
        match &self.holder {
            Some(bound) if bound == holder => Ok(()),
            Some(_) => Err(Refusal::new(
                "TicketStolen",
                "the ticket is bound to another key than this connection's",
            )),
            None => Err(Refusal::new(
                "TicketUnbound",
                "the ticket is not bound to a key yet: exchange it first (renew)",
            )),
        }
    }

    /// As [`Self::held_by`], but an unbound ticket may be exchanged by anyone who has it.
    pub fn may_be_renewed_by(&self, holder: &HolderKey) -> Result<(), Refusal> {
        if self.holder.is_none() {
            Ok(())
        } else {
            self.held_by(holder)
        }
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
