//! Other data connections of a session, and who may close one: of those who have its key, the one that has the session.

mod support;

use serde_json::{Value, json};
use support::holder::{Control, Holder, dial, echoes, works};
use support::{Host, eventually};

/// A session over TCP whose worker does with later data connections what `fake` says.
fn opened(host: &Host, fake: &str) -> (Holder, Control, Value, std::fs::File) {
    host.backend.state.lock().unwrap().fake = Some(fake.into());
    let holder = Holder::new();
    let mut control = holder.hello(host, true);
    let opened = control.open(&holder.ticket(host));
    let mut data = dial(host, true, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    (holder, control, opened, data)
}

/// What the backend was told of attempts to go on, once there are so many.
fn counted(host: &Host, wanted: u64) -> [u64; 3] {
    eventually("the attempts are told", || {
        let told = host.backend.state.lock().unwrap().resumes.clone();
        let sum = |name: &str| told.iter().filter_map(|one| one[name].as_u64()).sum();
        let sums: [u64; 3] = ["resumed", "refused", "expired"].map(sum);
        (sums.iter().sum::<u64>() >= wanted).then_some(sums)
    })
}

#[test]
fn of_two_with_one_key_the_one_that_has_the_session_closes_it() {
    let mut host = Host::start();
    let (holder, mut control, opened, _) = opened(&host, "patient");
    let (session, first) = (&opened["session"], &opened["attach"]);
    let second = control.resume(&holder.ticket(&host), session);
    let mut data = dial(&host, true, session, &second["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    assert_eq!(counted(&host, 1), [1, 0, 0]);

    let mut copy = holder.hello(&host, true);
    for shown in [&[][..], &[first], &[&json!("0".repeat(32))]] {
        assert_eq!(copy.close(session, shown)["reason"], "ResumedElsewhere");
    }
    host.restart_gateway();
    let mut copy = holder.hello(&host, true);
    eventually("its worker has spoken", || {
        (copy.close(session, &[first])["reason"] == "ResumedElsewhere").then_some(())
    });
    assert!(echoes(&mut data), "the session goes on");

    let mut control = holder.hello(&host, true);
    let reply = control.close(session, &[first, &second["attach"]]);
    assert_eq!(reply["found"], true, "{reply}");
    assert_eq!(control.event().unwrap()["reason"], "ProgramExited");
}

#[test]
fn who_was_refused_by_the_worker_closes_nothing() {
    let host = Host::start();
    let (holder, mut control, opened, mut data) = opened(&host, "refuses");
    let (session, first) = (&opened["session"], &opened["attach"]);
    let mut copy = holder.hello(&host, true);
    let second = copy.resume(&holder.ticket(&host), session);
    let mut refused = dial(&host, true, session, &second["attach"]);
    assert!(!works(&mut refused, &opened["secret"]));
    assert_eq!(counted(&host, 1), [0, 1, 0]);
    let reply = copy.close(session, &[first, &second["attach"]]);
    assert_eq!(reply["reason"], "ResumedElsewhere");
    assert!(echoes(&mut data), "the session goes on");
    assert_eq!(control.close(session, &[first])["found"], true);
}

#[test]
fn a_close_that_comes_before_an_adopted_worker_has_spoken_is_decided_then() {
    let mut host = Host::start();
    let (holder, control, opened, _data) = opened(&host, "patient");
    drop(control);
    host.restart_gateway();
    let mut control = holder.hello(&host, true);
    let reply = control.close(&opened["session"], &[&opened["attach"]]);
    assert_eq!(reply["found"], true, "{reply}");
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
}

#[test]
fn another_claims_session_is_not_to_be_resumed_and_nobody_notices() {
    let host = Host::start();
    let (holder, mut control, opened, mut data) = opened(&host, "patient");
    let session = &opened["session"];
    let stranger = Holder::new();
    let of_another_claim = |holder: &Holder| {
        host.backend.ticket(Some(&holder.x()), |payload| {
            payload["claim"]["uid"] = "claim-2".into();
        })
    };
    let mut intruder = stranger.hello(&host, true);
    let tickets = [stranger.ticket(&host), of_another_claim(&stranger)];
    for ticket in tickets {
        assert_eq!(
            intruder.resume(&ticket, session)["reason"],
            "SessionUnknown"
        );
    }
    let stolen = intruder.resume(&holder.ticket(&host), session);
    assert_eq!(stolen["reason"], "TicketStolen");
    let of_other = control.resume(&of_another_claim(&holder), session);
    assert_eq!(of_other["reason"], "SessionUnknown");
    let guessed = intruder.resume(&stranger.ticket(&host), &json!("0".repeat(32)));
    assert_eq!(guessed["reason"], "SessionUnknown");
    assert_eq!(counted(&host, 4), [0, 4, 0]);
    assert!(echoes(&mut data), "the session goes on");
    assert!(host.backend.state.lock().unwrap().ended.is_empty());
}

#[test]
fn a_nonce_to_resume_with_works_once_and_only_the_last_one() {
    let host = Host::start();
    let (holder, mut control, opened, _) = opened(&host, "patient");
    let session = &opened["session"];
    let ticket = holder.ticket(&host);
    let (early, last) = (
        control.resume(&ticket, session),
        control.resume(&ticket, session),
    );
    let takes = |nonce: &Value| works(&mut dial(&host, true, session, nonce), &opened["secret"]);
    assert!(!takes(&early["attach"]));
    assert!(!takes(&opened["attach"]));
    assert!(takes(&last["attach"]));
    assert!(!takes(&last["attach"]));
    assert_eq!(counted(&host, 4), [1, 3, 0]);
}
