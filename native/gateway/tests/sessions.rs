//! Sessions from open to end, and everybody who must not have one.

mod support;

use serde_json::json;
use support::holder::{Holder, dial, works};
use support::{Host, eventually};

fn open_attach_close(over_tcp: bool, transport: &str) {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = holder.hello(&host, over_tcp);
    let opened = control.open(&holder.ticket(&host));
    assert_eq!(opened["ok"], true, "{opened}");
    assert_eq!(opened["transport"], transport);
    assert_eq!(opened["keySpki"].is_string(), transport == "tls");
    let mut data = dial(&host, over_tcp, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    drop(data);
    let ended = control.event().unwrap();
    assert_eq!(ended["reason"], "ConnectionClosed");
    eventually("the backend hears of the end", || {
        host.backend
            .state
            .lock()
            .unwrap()
            .ended
            .iter()
            .find(|end| end["session"] == opened["session"])
            .cloned()
    });
    assert!(host.workers().is_empty());
}

#[test]
fn a_session_over_unix_ends_with_its_data_connection() {
    open_attach_close(false, "unix");
}

#[test]
fn a_session_over_tcp_is_tls_from_end_to_end() {
    open_attach_close(true, "tls");
}

#[test]
fn close_ends_the_worker_even_one_that_ignores_the_asking() {
    let host = Host::start();
    host.backend.state.lock().unwrap().fake = Some("stubborn".into());
    let holder = Holder::new();
    let mut control = holder.hello(&host, false);
    let opened = control.open(&holder.ticket(&host));
    let mut data = dial(&host, false, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    assert_eq!(
        control
            .ask(json!({"op": "close", "session": opened["session"]}))
            .unwrap()["found"],
        true
    );
    assert_eq!(control.event().unwrap()["reason"], "ProgramExited");
    assert!(host.workers().is_empty());
}

#[test]
fn another_holder_cannot_close_what_is_not_its_own() {
    let host = Host::start();
    let (holder, other) = (Holder::new(), Holder::new());
    let mut control = holder.hello(&host, false);
    let opened = control.open(&holder.ticket(&host));
    let mut intruder = other.hello(&host, false);
    assert_eq!(
        intruder
            .ask(json!({"op": "close", "session": opened["session"]}))
            .unwrap()["found"],
        false
    );
    let mut data = dial(&host, false, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
}

#[test]
fn a_nonce_works_once_and_a_wrong_one_never() {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = holder.hello(&host, false);
    let opened = control.open(&holder.ticket(&host));
    let wrong = json!("00".repeat(16));
    assert!(!works(
        &mut dial(&host, false, &opened["session"], &wrong),
        &opened["secret"]
    ));
    let mut data = dial(&host, false, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    assert!(!works(
        &mut dial(&host, false, &opened["session"], &opened["attach"]),
        &opened["secret"]
    ));
    assert!(
        support::holder::echoes(&mut data),
        "the replay has not disturbed the session"
    );
}

#[test]
fn a_session_without_encryption_cannot_be_attached_over_tcp() {
    let host = Host::start();
    let holder = Holder::new();
    let opened = holder.hello(&host, false).open(&holder.ticket(&host));
    assert_eq!(opened["transport"], "unix");
    assert!(!works(
        &mut dial(&host, true, &opened["session"], &opened["attach"]),
        &opened["secret"]
    ));
}

#[test]
fn a_session_that_nobody_attaches_ends_by_itself() {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = holder.hello(&host, false);
    let opened = control.open(&holder.ticket(&host));
    assert_eq!(control.event().unwrap()["reason"], "AttachTimeout");
    assert!(!works(
        &mut dial(&host, false, &opened["session"], &opened["attach"]),
        &opened["secret"]
    ));
    assert!(host.workers().is_empty());
}

#[test]
fn tickets_that_must_be_refused() {
    let host = Host::start();
    let (holder, thief) = (Holder::new(), Holder::new());
    let x = holder.x();
    let good = holder.ticket(&host);
    let old = support::backend::now() - 1_000;
    let tampered = format!("{}x", &good[..good.len() - 1]);
    let cases = [
        (
            "TicketExpired",
            host.backend
                .ticket(Some(&x), |payload| payload["exp"] = (old + 1).into()),
        ),
        (
            "TicketNotYetValid",
            host.backend
                .ticket(Some(&x), |payload| payload["nbf"] = (old + 9_999).into()),
        ),
        ("TicketStolen", thief.ticket(&host)),
        ("TicketUnbound", host.backend.ticket(None, |_| ())),
        (
            "EpochTooOld",
            host.backend
                .ticket(Some(&x), |payload| payload["epoch"] = 0.into()),
        ),
        ("TicketMalformed", "garbage".into()),
        ("Ticket", tampered),
    ];
    let mut control = holder.hello(&host, true);
    for (reason, ticket) in &cases {
        let reply = control.open(ticket);
        assert_eq!(reply["ok"], false, "{reason}");
        assert!(
            reply["reason"].as_str().unwrap().starts_with(reason),
            "{reason}: {reply}"
        );
    }
    for (reason, ticket) in cases
        .iter()
        .filter(|(reason, _)| *reason != "TicketUnbound")
    {
        let mut stranger = holder.connect(&host, true);
        let reply = stranger
            .ask(json!({"op": "hello", "v": 1, "ticket": ticket}))
            .unwrap();
        assert!(
            reply["reason"].as_str().unwrap().starts_with(reason),
            "{reason}: {reply}"
        );
        assert!(
            stranger
                .ask(json!({"op": "open", "ticket": good}))
                .is_none(),
            "closed after the refusal"
        );
    }
    assert!(host.backend.state.lock().unwrap().admitted.is_empty());
    assert_eq!(control.open(&good)["ok"], true);
}

#[test]
fn an_epoch_once_seen_is_never_gone_back_from() {
    let mut host = Host::start();
    let holder = Holder::new();
    let mut control = holder.hello(&host, false);
    let newer = host
        .backend
        .ticket(Some(&holder.x()), |payload| payload["epoch"] = 7.into());
    assert_eq!(control.open(&newer)["ok"], true);
    assert_eq!(control.open(&holder.ticket(&host))["reason"], "EpochTooOld");
    host.restart_gateway();
    let mut control = holder.connect(&host, false);
    assert_eq!(
        control
            .ask(json!({"op": "hello", "v": 1, "ticket": newer}))
            .unwrap()["ok"],
        true
    );
    assert_eq!(control.open(&holder.ticket(&host))["reason"], "EpochTooOld");
}

#[test]
fn a_claims_sessions_are_counted() {
    let host = Host::start();
    let holder = Holder::new();
    let ticket = host.backend.ticket(Some(&holder.x()), |payload| {
        payload["maxSessions"] = 2.into()
    });
    let mut control = holder.hello(&host, false);
    assert_eq!(control.open(&ticket)["ok"], true);
    assert_eq!(control.open(&ticket)["ok"], true);
    assert_eq!(control.open(&ticket)["reason"], "SessionsExhausted");
}

#[test]
fn the_backends_refusal_reaches_the_connector_word_for_word() {
    let host = Host::start();
    host.backend.state.lock().unwrap().refuse = Some((
        "ClaimNotBound".into(),
        "claim default/trainer is Pending".into(),
    ));
    let holder = Holder::new();
    let reply = holder.hello(&host, false).open(&holder.ticket(&host));
    assert_eq!(
        (&reply["reason"], &reply["message"]),
        (
            &json!("ClaimNotBound"),
            &json!("claim default/trainer is Pending")
        )
    );
    assert!(host.workers().is_empty());
}

#[test]
fn a_worker_that_fails_at_its_start_is_a_refusal() {
    let host = Host::start();
    host.backend.state.lock().unwrap().fake = Some("crash".into());
    let holder = Holder::new();
    let reply = holder.hello(&host, false).open(&holder.ticket(&host));
    assert_eq!(reply["reason"], "WorkerFailed", "{reply}");
    eventually("the backend hears of it", || {
        host.backend.state.lock().unwrap().ended.first().cloned()
    });
}

#[test]
fn a_revoked_claim_has_no_session_left() {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = holder.hello(&host, false);
    let opened = control.open(&holder.ticket(&host));
    let mut data = dial(&host, false, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    let other = host.backend.ticket(Some(&holder.x()), |payload| {
        payload["claim"]["uid"] = "claim-2".into()
    });
    let kept = control.open(&other);
    host.backend
        .tell(json!({"event": "revoke", "claimUid": "claim-1"}));
    let ended = control.event().unwrap();
    assert_eq!(
        (&ended["session"], &ended["reason"]),
        (&opened["session"], &json!("ClaimRevoked"))
    );
    assert_eq!(host.workers(), [kept["session"].as_str().unwrap()]);
}

#[test]
fn renew_and_inspect_go_to_the_backend() {
    let host = Host::start();
    let holder = Holder::new();
    let unbound = host.backend.ticket(None, |_| ());
    let mut control = holder.connect(&host, true);
    assert_eq!(
        control
            .ask(json!({"op": "hello", "v": 1, "ticket": unbound}))
            .unwrap()["ok"],
        true
    );
    let renewed = control
        .ask(json!({"op": "renew", "ticket": unbound}))
        .unwrap();
    let bound = aquifer_control::ticket::peek(renewed["ticket"].as_str().unwrap()).unwrap();
    assert_eq!(bound.holder, Some(holder.identity.public()));
    assert_eq!(
        control
            .ask(json!({"op": "inspect", "ticket": unbound}))
            .unwrap()["reason"],
        "TicketUnbound"
    );
    let seen = control
        .ask(json!({"op": "inspect", "ticket": holder.ticket(&host)}))
        .unwrap();
    assert_eq!(seen["vgpus"][0]["uuid"], "GPU-1");
}

#[test]
fn a_worker_without_its_gpu_says_so_to_the_connector() {
    let host = Host::start();
    host.backend.state.lock().unwrap().fake = Some("broken".into());
    let holder = Holder::new();
    let reply = holder.hello(&host, false).open(&holder.ticket(&host));
    assert_eq!(reply["reason"], "WorkerFailed");
    assert!(
        reply["message"].as_str().unwrap().contains("no such GPU"),
        "{reply}"
    );
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
}
