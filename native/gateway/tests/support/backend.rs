//! The pool as the gateway sees it: a CA, ticket keys, and a backend that says yes unless told otherwise.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::NODE;

/// What the test may look at and change while everything runs.
#[derive(Default)]
pub struct State {
    pub admitted: Vec<Value>,
    pub ended: Vec<Value>,
    /// Sessions that went over to another channel.
    pub moved: Vec<Value>,
    pub listed: Vec<Value>,
    /// How attempts to go on with sessions ended.
    pub resumes: Vec<Value>,
    /// How the fake worker behaves.
    pub fake: Option<String>,
    /// `admit` is refused with it.
    pub refuse: Option<(String, String)>,
    pub epoch: u64,
    /// Which pod, by UID, has a slot.
    pub slots: HashMap<String, String>,
    /// Of which slots a ticket was asked for.
    pub wanted: Vec<Value>,
    /// What guests asked for, and who has got the one ticket that is offered.
    pub obtained: Vec<Value>,
    pub taker: Option<Value>,
    connections: Vec<UnixStream>,
}

pub struct Backend {
    pub ca_pem: String,
    pub state: Arc<Mutex<State>>,
    answering: Arc<Answering>,
    path: std::path::PathBuf,
}

struct Answering {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    ticket_key: String,
    work: std::path::PathBuf,
    signer: Ed25519KeyPair,
}

/// The key of a certificate request, found by the form of its SubjectPublicKeyInfo.
struct RequestKey([u8; 32]);

impl PublicKeyData for RequestKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

fn request_key(pem: &str) -> RequestKey {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    let prefix = [0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let at = der
        .windows(prefix.len())
        .position(|window| window == prefix)
        .unwrap()
        + prefix.len();
    RequestKey(der[at..at + 32].try_into().unwrap())
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Backend {
    pub fn start(run: &Path, work: &Path) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = parameters.self_signed(&key).unwrap().pem();
        let signer = Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap();
        let answering = Arc::new(Answering {
            issuer: Issuer::new(parameters, key),
            ca_pem: ca_pem.clone(),
            ticket_key: URL_SAFE_NO_PAD.encode(signer.public_key().as_ref()),
            work: work.to_owned(),
            signer,
        });
        let state = Arc::new(Mutex::new(State {
            epoch: 1,
            ..State::default()
        }));
        let backend = Self {
            ca_pem,
            state,
            answering,
            path: run.join("backend.sock"),
        };
        backend.listen();
        backend
    }

    /// Listens (again, after [`Self::stop`]).
    pub fn listen(&self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        let (state, answering) = (self.state.clone(), self.answering.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, answering) = (state.clone(), answering.clone());
                let Ok(stream) = stream else { return };
                state
                    .lock()
                    .unwrap()
                    .connections
                    .push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(stream, &state, &answering));
            }
        });
    }

    /// Is gone: the socket's name and all connections.
    pub fn stop(&self) {
        std::fs::remove_file(&self.path).unwrap();
        for connection in self.state.lock().unwrap().connections.drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    pub fn tell(&self, event: Value) {
        for connection in &mut self.state.lock().unwrap().connections {
            send(connection, &event);
        }
    }

    /// A signed ticket; `holder` is the `x` it is bound to; `change` may spoil the payload.
    pub fn ticket(&self, holder: Option<&str>, change: impl FnOnce(&mut Value)) -> String {
        self.answering.ticket(holder, change)
    }
}

impl Answering {
    fn ticket(&self, holder: Option<&str>, change: impl FnOnce(&mut Value)) -> String {
        let mut payload = json!({
            "iss": "pool", "jti": "j", "iat": now(), "nbf": now(), "exp": now() + 600, "epoch": 1,
            "claim": {"namespace": "default", "name": "trainer", "uid": "claim-1"},
            "vgpus": [{"index": 0, "gpu": "GPU-1", "memoryBytes": 1u64 << 30, "computePercent": 25}],
            "maxSessions": 64,
        });
        if let Some(x) = holder {
            payload["cnf"] = json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}});
        }
        change(&mut payload);
        self.sign(&payload)
    }

    /// The answer to who may have a ticket with this key.
    fn ticket_file(&self, key: &Value) -> Value {
        let address = format!("unix:{}", self.work.join("run/gateway.sock").display());
        json!({"ok": true, "ticketFile": {
            "apiVersion": "aquifer.dev/v1alpha1", "kind": "Ticket",
            "metadata": {"name": "trainer", "namespace": "default"}, "ca": self.ca_pem,
            "endpoints": [{"node": NODE, "address": address}], "ticket": self.ticket(key.as_str(), |_| ()),
        }})
    }

    fn sign(&self, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "EdDSA", "typ": "aquifer-ticket+jwt", "kid": "k1"});
        let signed = format!("{}.{}", encode(&header), encode(payload));
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(self.signer.sign(signed.as_bytes()))
        )
    }
}

fn payload_of(compact: &str) -> Value {
    let encoded = compact.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

/// One write a line: events and answers come from different threads. A gateway may be gone.
fn send(connection: &mut UnixStream, message: &Value) {
    let _ = connection.write_all(format!("{message}\n").as_bytes());
}

fn serve(stream: UnixStream, state: &Mutex<State>, answering: &Answering) {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let request: Value = serde_json::from_str(&line).unwrap();
        let mut reply = answer(&request, &mut state.lock().unwrap(), answering);
        reply["id"] = request["id"].clone();
        send(&mut writer, &reply);
    }
}

fn answer(request: &Value, state: &mut State, answering: &Answering) -> Value {
    match request["op"].as_str().unwrap() {
        "hello" => json!({"ok": true, "v": 1, "name": "backend"}),
        "enrol" => {
            let key = request_key(request["csrPem"].as_str().unwrap());
            let parameters = CertificateParams::new(vec![NODE.to_owned()]).unwrap();
            let certificate = parameters.signed_by(&key, &answering.issuer).unwrap().pem();
            json!({
                "ok": true, "certificatePem": certificate, "caPem": answering.ca_pem, "epoch": state.epoch,
                "ticketKeys": [{"kid": "k1", "x": answering.ticket_key}],
            })
        }
        "admit" => {
            state.admitted.push(request.clone());
            if let Some((reason, message)) = &state.refuse {
                return json!({"ok": false, "reason": reason, "message": message});
            }
            let directory = |name: &str| answering.work.join(name).to_string_lossy().into_owned();
            json!({"ok": true, "worker": {
                "vgpus": [], "ledgerDir": directory("ledger"), "turnsDir": directory("turns"),
                "driver": "libcuda.so.1", "environment": {}, "fake": state.fake,
            }})
        }
        "renew" => {
            let holder = request["holderKey"].as_str().unwrap();
            let mut payload = payload_of(request["ticket"].as_str().unwrap());
            payload["cnf"] = json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": holder}});
            json!({"ok": true, "ticket": answering.sign(&payload)})
        }
        "ticketFor" => {
            state.wanted.push(request.clone());
            let slot = request["slot"].as_str().unwrap();
            if state.slots.get(slot).map(String::as_str) != request["podUid"].as_str() {
                return json!({"ok": false, "reason": "PodNotFound", "message": "the slot is another pod's"});
            }
            answering.ticket_file(&request["holderKey"])
        }
        "obtain" => {
            state.obtained.push(request.clone());
            let key = request["holderKey"].clone();
            if *state.taker.get_or_insert(key.clone()) != key {
                return json!({"ok": false, "reason": "OfferTaken", "message": "the ticket was taken by another key"});
            }
            answering.ticket_file(&key)
        }
        "inspect" => json!({"ok": true, "vgpus": [{"uuid": request["ticket"]["vgpus"][0]["gpu"]}]}),
        "moved" => {
            state.moved.push(request.clone());
            json!({"ok": true})
        }
        "resumes" => {
            state.resumes.push(request.clone());
            json!({"ok": true})
        }
        "sessionEnded" => {
            state.ended.push(request.clone());
            json!({"ok": true})
        }
        "sessions" => {
            state.listed = request["sessions"].as_array().unwrap().clone();
            json!({"ok": true})
        }
        other => json!({"ok": false, "reason": "BadRequest", "message": other}),
    }
}
