//! The pool signs in TypeScript and gateways verify in Rust: both are tested on the same tickets.

use aquifer_control::identity::HolderKey;
use aquifer_control::ticket::{TicketKey, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    now: u64,
    min_epoch: u64,
    keys: Vec<TicketKey>,
    holder: String,
    other_holder: String,
    tickets: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    ticket: String,
    result: String,
    #[serde(default)]
    unbound: bool,
}

fn vectors() -> Vectors {
    let text = include_str!("../../../test/fixtures/tickets.json");
    serde_json::from_str(text).expect("the fixture is JSON")
}

fn verifier(vectors: &Vectors) -> Verifier<'_> {
    Verifier {
        keys: &vectors.keys,
        min_epoch: vectors.min_epoch,
        now: vectors.now,
    }
}

#[test]
fn judges_every_ticket_as_the_pool_does() {
    let vectors = vectors();
    for vector in &vectors.tickets {
        let result = match verifier(&vectors).verify(&vector.ticket) {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => refusal.reason,
        };
        assert_eq!(result, vector.result, "ticket {}", vector.name);
    }
}

#[test]
fn knows_the_holder_of_a_bound_ticket_and_lets_anyone_exchange_an_unbound_one() {
    let vectors = vectors();
    let holder = HolderKey::parse(&vectors.holder).expect("a key");
    let other = HolderKey::parse(&vectors.other_holder).expect("a key");
    for vector in vectors.tickets.iter().filter(|v| v.result == "ok") {
        let ticket = verifier(&vectors)
            .verify(&vector.ticket)
            .expect("a valid ticket");
        let unbound = vector.unbound;
        assert_eq!(ticket.held_by(&holder).is_ok(), !unbound, "{}", vector.name);
        assert!(ticket.held_by(&other).is_err(), "{}", vector.name);
        let renewable = ticket.may_be_renewed_by(&other).is_ok();
        assert_eq!(renewable, unbound, "{}", vector.name);
    }
}
