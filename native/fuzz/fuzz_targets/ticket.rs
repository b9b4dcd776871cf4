//! Tickets as they come, and payloads under a good signature: what lies behind it must stand too.
#![no_main]

use std::sync::LazyLock;

use aquifer_control::identity::HolderKey;
use aquifer_control::ticket::{TicketKey, Verifier, peek};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use ring::signature::{Ed25519KeyPair, KeyPair};

static POOL: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("32 bytes are a seed"));

fuzz_target!(|data: &[u8]| {
    let keys = [TicketKey {
        kid: "k1".into(),
        x: URL_SAFE_NO_PAD.encode(POOL.public_key().as_ref()),
    }];
    let verifier = Verifier {
        keys: &keys,
        min_epoch: 3,
        now: 1_800_000_000,
    };
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = peek(text);
        assert!(
            verifier.verify(text).is_err(),
            "nobody here can sign for the pool"
        );
    }
    let header =
        URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","typ":"aquifer-ticket+jwt","kid":"k1"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(data));
    let signature = URL_SAFE_NO_PAD.encode(POOL.sign(signed.as_bytes()));
    if let Ok(ticket) = verifier.verify(&format!("{signed}.{signature}")) {
        let _ = ticket.held_by(&HolderKey([7; 32]));
        let _ = ticket.may_be_renewed_by(&HolderKey([7; 32]));
    }
});
