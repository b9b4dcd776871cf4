//! `aquifer-connector check`: what works in this guest and what does not, in plain words, without changing anything.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aquifer_control::poll::Poller;
use aquifer_control::tls;
use serde_json::json;

use crate::cdi::{KIND, Layout, file_of};
use crate::gateway_link::{GatewayKey, GatewayLink};
use crate::guest::shares_of;
use crate::hook;
use crate::offer::now_seconds;
use crate::state::State;
use crate::ticket_file::TicketFile;
use crate::ticket_source::TicketSource;

/// How long the gateway has, and the connector where there is a ticket for it.
const PATIENCE: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// One line: what was looked at, and what was found.
struct Finding {
    works: bool,
    text: String,
}

fn works(text: impl Into<String>) -> Finding {
    Finding {
        works: true,
        text: text.into(),
    }
}

fn fails(text: impl Into<String>) -> Finding {
    Finding {
        works: false,
        text: text.into(),
    }
}

/// Where to look.
pub struct Places {
    pub ticket: TicketSource,
    pub state: PathBuf,
    pub cdi: PathBuf,
    pub layout: Layout,
}

/// Prints a line for each thing; whether all of them work.
pub fn run(places: &Places) -> bool {
    let mut findings = vec![cgroups(), pidfds(), files(&places.layout)];
    let connector = connector(places);
    findings.extend(ticket(places));
    findings.push(connector);
    for Finding { works, text } in &findings {
        println!("{} {text}", if *works { "ok  " } else { "FAIL" });
    }
    // It is one of two ways: a guest without it is none the worse.
    let vsock = Path::new("/dev/vsock").exists();
    println!(
        "info {}",
        if vsock {
            "this guest has vsock"
        } else {
            "this guest has no vsock: the gateway is reached over TCP"
        }
    );
    findings.iter().all(|finding| finding.works)
}

fn cgroups() -> Finding {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return works("cgroup version 2 is mounted at /sys/fs/cgroup");
    }
    fails(
        "cgroup version 2 is not mounted at /sys/fs/cgroup: containers cannot be told apart \
         (start the guest with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 there)",
    )
}

fn pidfds() -> Finding {
    match aquifer_control::process::ProcessId::own().and_then(|own| own.open()) {
        Ok(_) => works("the kernel has pidfds"),
        Err(error) => fails(format!(
            "the kernel has no pidfds ({error}): Linux 5.3 is needed"
        )),
    }
}

fn files(layout: &Layout) -> Finding {
    match layout.missing().as_slice() {
        [] => works(format!(
            "the client libraries are in {}",
            layout.client.display()
        )),
        missing => {
            let names: Vec<String> = missing
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            fails(format!("not installed: {}", names.join(", ")))
        }
    }
}

fn ticket(places: &Places) -> Vec<Finding> {
    let path = places.ticket.file.display();
    let read = std::fs::read(&places.ticket.file)
        .map_err(|error| error.to_string())
        .and_then(|bytes| TicketFile::parse(&bytes).map_err(|refusal| refusal.message));
    let file = match read {
        Ok(file) => file,
        Err(reason) => {
            let hint = if places.ticket.ask.is_some() {
                "; none came from the host: `aquifer guest attach DOMAIN --claim NAME --offer` there offers one"
            } else {
                ""
            };
            return vec![fails(format!("the ticket {path}: {reason}{hint}"))];
        }
    };
    let claim = &file.claim;
    let left = file.ticket.payload.exp.saturating_sub(now_seconds());
    let mut findings = vec![if left == 0 {
        fails(format!(
            "the ticket {path} for claim {claim} has expired; get a new one: {}",
            file.another("")
        ))
    } else {
        works(format!(
            "the ticket {path} for claim {claim} is good for {left} s and is renewed in time"
        ))
    }];
    findings.push(match reach(places, &file) {
        Ok(()) => works(format!("the gateway of {} is reached", file.node)),
        Err(reason) => fails(reason),
    });
    let specification = file_of(&places.cdi, &file.ticket.payload.claim.name);
    findings.push(if specification.exists() {
        works(format!(
            "containers get it by --device {}",
            devices(&file).join(" or ")
        ))
    } else {
        fails(format!(
            "{} is not there: is `aquifer-connector guest` running?",
            specification.display()
        ))
    });
    findings
}

/// The CDI devices that lead to a vGPU: the claim itself is one unless a container has to name its share.
fn devices(file: &TicketFile) -> Vec<String> {
    let claim = &file.ticket.payload.claim.name;
    let shares = shares_of(file);
    let whole = (shares.is_empty() || file.ticket.raw["nested"]["defaultShare"].is_string())
        .then(|| format!("{KIND}={claim}"));
    let of_shares = shares.iter().map(|share| format!("{KIND}={claim}-{share}"));
    whole.into_iter().chain(of_shares).collect()
}

/// Says hello to the gateway with the key and the ticket of this guest.
fn reach(places: &Places, file: &TicketFile) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let state = State::open(&places.state, "check").map_err(text)?;
    let identity = state.identity().map_err(text)?;
    let poller = Poller::new().map_err(text)?;
    let config = tls::client_config(&file.ca_pem, &identity).map_err(text)?;
    let key = GatewayKey {
        node: file.node.clone(),
        addresses: file.addresses.clone(),
        ca_pem: file.ca_pem.clone(),
    };
    let newest = state.ticket(&file.ticket.payload.claim.uid);
    let tickets = [newest.unwrap_or_else(|| file.compact.clone())];
    let mut link: GatewayLink<()> = GatewayLink::new(key, 0, config);
    let deadline = Instant::now() + PATIENCE;
    while !link.is_connected() {
        let (_, due) = link.tick(&poller, &tickets);
        let now = Instant::now();
        if now >= deadline {
            let why = link.trouble.map(|refusal| refusal.message);
            return Err(
                why.unwrap_or_else(|| format!("the gateway of {} does not answer", file.node))
            );
        }
        let wake = due.unwrap_or(deadline).min(deadline);
        let events = poller
            .wait(Some(wake.saturating_duration_since(now)))
            .map_err(text)?;
        if !events.is_empty() {
            link.serve(&poller, &tickets);
        }
    }
    Ok(())
}

/// systemd says that it has started one before that answers.
fn connector(places: &Places) -> Finding {
    let ask = || hook::ask(&places.layout.control, &json!({"id": 2, "op": "list"}));
    let deadline = Instant::now() + PATIENCE;
    let mut answer = ask();
    while answer.is_err() && places.ticket.file.exists() && Instant::now() < deadline {
        std::thread::sleep(ASK_EVERY);
        answer = ask();
    }
    match answer {
        Err(reason) => fails(reason),
        Ok(reply) => match reply["offers"][0]["trouble"].as_str() {
            Some(trouble) => fails(format!("the connector runs, but: {trouble}")),
            None => works(format!(
                "the connector runs and knows {} containers",
                reply["containers"].as_array().map_or(0, Vec::len)
            )),
        },
    }
}
