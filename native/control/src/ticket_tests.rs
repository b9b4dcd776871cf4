//! Tickets made here with a key of the test's own, and every way of spoiling one.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

struct Pool {
    pair: Ed25519KeyPair,
    keys: Vec<TicketKey>,
}

fn pool(seed: u8) -> Pool {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let keys = vec![TicketKey {
        kid: "k1".into(),
        x: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
    }];
    Pool { pair, keys }
}

fn holder(byte: u8) -> HolderKey {
    HolderKey([byte; 32])
}

fn payload() -> Value {
    json!({
        "iss": "pool", "jti": "j1", "iat": NOW, "nbf": NOW, "exp": NOW + 600, "epoch": 3,
        "claim": {"namespace": "default", "name": "trainer", "uid": "u1"},
        "vgpus": [{"index": 0, "gpu": "GPU-1", "memoryBytes": 1u64 << 30, "computePercent": 25}],
        "maxSessions": 16,
        "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": holder(7).to_string()}},
    })
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "aquifer-ticket+jwt", "kid": "k1"})
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Pool {
    fn sign(&self, header: &Value, payload: &Value) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn verify(&self, compact: &str) -> Result<Ticket, Refusal> {
        Verifier {
            keys: &self.keys,
            min_epoch: 3,
            now: NOW,
        }
        .verify(compact)
    }
}

fn with(mut payload: Value, field: &str, value: Value) -> Value {
    payload[field] = value;
    payload
}

#[test]
fn a_good_ticket_is_its_holders_alone() {
    let pool = pool(1);
    let ticket = pool.verify(&pool.sign(&header(), &payload())).unwrap();
    assert_eq!(ticket.payload.claim.name, "trainer");
    ticket.held_by(&holder(7)).unwrap();
    assert_eq!(
        ticket.held_by(&holder(8)).unwrap_err().reason,
        "TicketStolen"
    );
    assert_eq!(
        ticket.may_be_renewed_by(&holder(8)).unwrap_err().reason,
        "TicketStolen"
    );
}

#[test]
fn an_unbound_ticket_is_good_for_exchange_only() {
    let pool = pool(1);
    let mut unbound = payload();
    unbound.as_object_mut().unwrap().remove("cnf");
    let ticket = pool.verify(&pool.sign(&header(), &unbound)).unwrap();
    assert_eq!(
        ticket.held_by(&holder(7)).unwrap_err().reason,
        "TicketUnbound"
    );
    ticket.may_be_renewed_by(&holder(9)).unwrap();
}

#[test]
fn times_and_epoch_hold_to_the_second() {
    let pool = pool(1);
    for (field, value, want) in [
        ("exp", NOW - LEEWAY_SECONDS, None),
        ("exp", NOW - LEEWAY_SECONDS - 1, Some("TicketExpired")),
        ("nbf", NOW + LEEWAY_SECONDS, None),
        ("nbf", NOW + LEEWAY_SECONDS + 1, Some("TicketNotYetValid")),
        ("epoch", 4, None),
        ("epoch", 2, Some("EpochTooOld")),
    ] {
        let result = pool.verify(&pool.sign(&header(), &with(payload(), field, value.into())));
        assert_eq!(
            result.err().map(|refusal| refusal.reason).as_deref(),
            want,
            "{field} = {value}"
        );
    }
}

#[test]
fn another_pools_ticket_is_forged() {
    let compact = pool(2).sign(&header(), &payload());
    assert_eq!(pool(1).verify(&compact).unwrap_err().reason, "TicketForged");
    let unknown = pool(1).sign(&with(header(), "kid", "k2".into()), &payload());
    assert_eq!(pool(1).verify(&unknown).unwrap_err().reason, "TicketForged");
}

#[test]
fn no_changed_character_passes() {
    let pool = pool(1);
    let compact = pool.sign(&header(), &payload());
    for index in 0..compact.len() {
        let mut bytes = compact.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(pool.verify(&changed).is_err(), "character {index}");
    }
    for length in 0..compact.len() {
        assert!(pool.verify(&compact[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn other_algorithms_are_refused_before_any_key_is_tried() {
    let pool = pool(1);
    for (field, value) in [("alg", "none"), ("alg", "HS256"), ("typ", "JWT")] {
        let compact = pool.sign(&with(header(), field, value.into()), &payload());
        assert_eq!(pool.verify(&compact).unwrap_err().reason, "TicketMalformed");
    }
}

#[test]
fn a_signed_payload_of_another_shape_is_refused_with_the_fields_name() {
    let pool = pool(1);
    for (field, value) in [
        ("vgpus", json!([])),
        ("vgpus", json!([{"index": 0}])),
        ("maxSessions", json!(-1)),
        ("exp", json!("soon")),
        ("claim", json!({"name": "x"})),
        ("cnf", json!({"jwk": {"kty": "RSA", "crv": "", "x": ""}})),
        (
            "cnf",
            json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}}),
        ),
    ] {
        let refusal = pool
            .verify(&pool.sign(&header(), &with(payload(), field, value.clone())))
            .unwrap_err();
        assert_eq!(refusal.reason, "TicketMalformed", "{field} = {value}");
    }
}

/// The same vectors that the signer's tests are made of: both sides agree on every byte.
#[test]
fn the_pools_own_vectors_are_judged_as_it_means_them() {
    let text = include_str!("../../../test/fixtures/tickets.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let keys: Vec<TicketKey> = serde_json::from_value(vectors["keys"].clone()).unwrap();
    let number = |name: &str| vectors[name].as_u64().unwrap();
    let verifier = Verifier {
        keys: &keys,
        min_epoch: number("minEpoch"),
        now: number("now"),
    };
    let cases = vectors["tickets"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let judged = verifier.verify(case["ticket"].as_str().unwrap());
        let word = judged.map_or_else(|refusal| refusal.reason, |_| "ok".into());
        assert_eq!(word, case["result"].as_str().unwrap(), "{}", case["name"]);
    }
}
