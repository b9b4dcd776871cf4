//! What this gateway shows and whom it believes: its certificate, the pool's ticket keys and the highest epoch seen.
//! All of it is kept in the run directory (0600), so that a gateway restarted while the backend is away still works.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aquifer_control::run_directory::{read, write_atomically};
use aquifer_control::ticket::{TicketKey, Verifier};
use aquifer_control::{certificate, info, tls, warning};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Least time between two enrolments that a short-lived certificate makes necessary.
const LEAST_RENEWAL: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    node: String,
    private_key_pem: String,
    certificate_pem: String,
    ticket_keys: Vec<TicketKey>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Enrolled {
    certificate_pem: String,
    ticket_keys: Vec<TicketKey>,
    epoch: u64,
}

/// Seconds since 1970.
pub fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

pub struct Trust {
    node: String,
    identity_path: PathBuf,
    epoch_path: PathBuf,
    tls: Option<Arc<ServerConfig>>,
    ticket_keys: Vec<TicketKey>,
    min_epoch: u64,
    /// Seconds since 1970; 0 where there is no certificate.
    renew_at: u64,
    /// The key of the enrolment under way.
    pending_key: Option<KeyPair>,
}

impl Trust {
    /// Takes up what an earlier gateway of this node has left.
    pub fn load(run_directory: &std::path::Path, node: &str) -> Self {
        let epoch_path = run_directory.join("gateway-epoch.json");
        let epoch: Option<Value> = read(&epoch_path).ok();
        let mut trust = Self {
            node: node.to_owned(),
            identity_path: run_directory.join("gateway-identity.json"),
            epoch_path,
            tls: None,
            ticket_keys: Vec::new(),
            min_epoch: epoch.and_then(|value| value["epoch"].as_u64()).unwrap_or(0),
            renew_at: 0,
            pending_key: None,
        };
        if let Ok(stored) = read::<Stored>(&trust.identity_path)
            && stored.node == node
            && let Err(reason) = trust.adopt(&stored)
        {
            warning!("the stored identity cannot be used", reason = reason);
        }
        trust
    }

    /// `None` until the first enrolment.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }

    /// For checking tickets now.
    pub fn verifier(&self) -> Verifier<'_> {
        Verifier {
            keys: &self.ticket_keys,
            min_epoch: self.min_epoch,
            now: now_seconds(),
        }
    }

    /// Whether it is time to enrol again; how long until then where it is not.
    pub fn renewal_due(&self) -> Result<(), Duration> {
        match self.renew_at.checked_sub(now_seconds()) {
            Some(left) if left > 0 => Err(Duration::from_secs(left)),
            _ => Ok(()),
        }
    }

    /// The question to the backend: makes a key that stays here.
    pub fn enrolment(&mut self) -> io::Result<Value> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(io::Error::other)?;
        let mut parameters =
            CertificateParams::new(vec![self.node.clone()]).map_err(io::Error::other)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, self.node.clone());
        let request = parameters
            .serialize_request(&key)
            .and_then(|request| request.pem())
            .map_err(io::Error::other)?;
        self.pending_key = Some(key);
        Ok(json!({"op": "enrol", "csrPem": request}))
    }

    /// Takes the backend's answer.
    pub fn enrolled(&mut self, answer: Map<String, Value>) -> io::Result<()> {
        let enrolled = Enrolled::deserialize(Value::Object(answer)).map_err(io::Error::other)?;
        let key = self
            .pending_key
            .take()
            .ok_or_else(|| io::Error::other("an enrolment that was not asked for"))?;
        let stored = Stored {
            node: self.node.clone(),
            private_key_pem: key.serialize_pem(),
            certificate_pem: enrolled.certificate_pem,
            ticket_keys: enrolled.ticket_keys,
        };
        self.adopt(&stored)?;
        self.raise_epoch(enrolled.epoch);
        if let Err(reason) = write_atomically(&self.identity_path, &serde_json::to_value(&stored)?)
        {
            warning!(
                "the identity could not be stored: a restart will need the backend",
                reason = reason
            );
        }
        info!(
            "enrolled",
            node = self.node,
            keys = self.ticket_keys.len(),
            epoch = self.min_epoch
        );
        Ok(())
    }

    /// Tries again later after an enrolment that failed.
    pub fn enrolment_failed(&mut self) {
        self.pending_key = None;
        self.renew_at = now_seconds() + 5;
    }

    fn adopt(&mut self, stored: &Stored) -> io::Result<()> {
        let der = CertificateDer::from_pem_slice(stored.certificate_pem.as_bytes())
            .map_err(|error| io::Error::other(format!("certificate: {error:?}")))?;
        let now = now_seconds();
        let end = certificate::not_after(&der).filter(|end| *end > now);
        let end =
            end.ok_or_else(|| io::Error::other("the certificate is expired or unreadable"))?;
        self.tls = Some(tls::server_config(
            &stored.certificate_pem,
            &stored.private_key_pem,
        )?);
        self.ticket_keys = stored.ticket_keys.clone();
        self.renew_at = now + ((end - now) * 2 / 3).max(LEAST_RENEWAL.as_secs());
        Ok(())
    }

    /// Never goes back: a leader that was replaced cannot speak for the pool again.
    pub fn raise_epoch(&mut self, epoch: u64) {
        if epoch <= self.min_epoch {
            return;
        }
        self.min_epoch = epoch;
        if let Err(reason) = write_atomically(&self.epoch_path, &json!({"epoch": epoch})) {
            warning!("the epoch could not be stored", reason = reason);
        }
    }
}
