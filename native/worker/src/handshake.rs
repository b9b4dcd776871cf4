//! The first frames of a connection: the worker's Hello, the client's Attach, the worker's Facts.

use crate::bulletin::Bulletin;
use crate::calls::read;
use crate::config::{Config, Transport};
use crate::door::Door;
use crate::driver::Driver;
use crate::gpus::{self, Gpu};
use crate::outbox::Outbox;
use crate::range::{Ground, Range};
use crate::session::{End, Session, Vgpu};
use aquifer_cuda::*;
use aquifer_protocol::generated::{Attach, Closed, Facts, Hello, Resumable};
use aquifer_protocol::{
    Connection, FrameReader, HEADER_BYTES, Header, Message, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR,
    SessionKey,
};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the client has from its connection to its Attach.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);

/// What a worker has ready before a client comes: its driver, its GPUs with contexts, and reserved addresses.
pub struct Prepared {
    pub driver: &'static Driver,
    pub gpus: Vec<Gpu>,
    pub vgpus: Vec<Vgpu>,
}

/// Opens all that the configuration names. The error is a sentence for people.
pub fn prepare(config: &Config) -> Result<Prepared, String> {
    let driver: &'static Driver = Box::leak(Box::new(Driver::load(&config.driver)?));
    let gpus = gpus::open(driver, config)?;
    let mut vgpus = Vec::new();
    for vgpu in &config.vgpus {
        let at = gpus
            .iter()
            .position(|it| it.uuid == vgpu.gpu)
            .ok_or("a vGPU has no GPU")?;
        let gpu = &gpus[at];
        let ground = Ground {
            driver,
            device: gpu.device,
            context: gpu.primary,
            stream: gpu.stream,
            ledger: gpu.ledger.clone(),
            granule: gpu.granularity as u64,
        };
        let (memory_bytes, percent) = config.size_of(vgpu);
        let reserved = Range::reserve(ground, memory_bytes);
        let range = reserved.map_err(|code| {
            format!(
                "addresses for vGPU {}: {}",
                vgpu.index,
                crate::driver::name_of(code)
            )
        })?;
        vgpus.push(Vgpu {
            gpu: at,
            memory_bytes,
            percent,
            range,
        });
    }
    Ok(Prepared {
        driver,
        gpus,
        vgpus,
    })
}

/// Greets the client at the other end of `descriptor` and makes its session, if it shows the secret.
pub fn greet(
    config: &Config,
    prepared: Prepared,
    descriptor: OwnedFd,
    key: Option<&SessionKey>,
    bulletin: Arc<Bulletin>,
) -> Result<(Session, FrameReader), End> {
    let connection = match (config.transport, key) {
        (Transport::Unix, _) => Connection::plain(descriptor),
        (Transport::Tls, Some(key)) => Connection::tls_server(descriptor, key, ATTACH_TIMEOUT)?,
        (Transport::Tls, None) => {
            return Err(End::Garbage("no key was made for this session".into()));
        }
    };
    let id = config.session_id();
    let outbox = Outbox::new(connection, u32::from_le_bytes([id[0], id[1], id[2], id[3]]));
    let hello = Hello {
        fingerprint: PROTOCOL_FINGERPRINT,
        major: PROTOCOL_MAJOR,
        vgpus: prepared.vgpus.len() as u32,
    };
    outbox.send(&hello, env!("CARGO_PKG_VERSION").as_bytes())?;
    let attach: Attach = read_first(&outbox.connection, ATTACH_TIMEOUT)?;
    let refuse = |result: CUresult, reason: &str| {
        let _ = outbox.send(&Closed { result }, reason.as_bytes());
        End::Garbage(reason.to_owned())
    };
    // The versions are compared after the secret: a stranger learns nothing but the greeting.
    if !config
        .secret_bytes()
        .is_some_and(|secret| equal(&secret, &attach.secret))
    {
        return Err(refuse(
            CUDA_ERROR_NOT_PERMITTED,
            "the secret is not this session's",
        ));
    }
    if (attach.major, attach.fingerprint) != (PROTOCOL_MAJOR, PROTOCOL_FINGERPRINT) {
        let (theirs, ours) = (
            (attach.major, attach.fingerprint),
            (PROTOCOL_MAJOR, PROTOCOL_FINGERPRINT),
        );
        let reason = format!(
            "ProtocolMismatch: the client speaks {}.{:016x}, the worker {}.{:016x}",
            theirs.0, theirs.1, ours.0, ours.1
        );
        return Err(refuse(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, &reason));
    }
    tell_facts(&outbox, &prepared)?;
    let Prepared {
        driver,
        gpus,
        vgpus,
    } = prepared;
    let door = match config.transport {
        Transport::Tls => Some(open_door(&outbox, config.grace_seconds, bulletin)?),
        // A worker's own socket cannot be lost.
        Transport::Unix => None,
    };
    let mut session = Session::new(driver, Arc::new(outbox), gpus, vgpus, door);
    session.grant_first();
    session.outbox.flush()?;
    Ok((session, FrameReader::new()))
}

/// From here on the session outlives its connection.
fn open_door(
    outbox: &Outbox,
    grace_seconds: u64,
    bulletin: Arc<Bulletin>,
) -> Result<Arc<Door>, End> {
    let door = Door::new(Duration::from_secs(grace_seconds), bulletin)?;
    outbox.outlive();
    let resumable = Resumable {
        secret: door.secret(),
        grace_seconds: u32::try_from(grace_seconds).unwrap_or(u32::MAX),
        reserved: 0,
    };
    outbox.push(&resumable, &[]);
    Ok(Arc::new(door))
}

fn tell_facts(outbox: &Outbox, prepared: &Prepared) -> Result<(), End> {
    let mut version = 0;
    // SAFETY: the result is valid to write to.
    unsafe { (prepared.driver.cuDriverGetVersion)(&mut version) };
    let vgpus = prepared.vgpus.len() as u32;
    outbox.push(
        &Facts {
            vgpus,
            driver_version: version.max(0) as u32,
            session: 0,
            features: 0,
        },
        &[],
    );
    for (index, vgpu) in prepared.vgpus.iter().enumerate() {
        let gpu = &prepared.gpus[vgpu.gpu];
        let (mut facts, attributes) = gpu.facts(
            prepared.driver,
            index as u32,
            vgpu.memory_bytes,
            vgpu.percent,
        );
        (facts.base, facts.range_bytes) = (vgpu.range.base, vgpu.range.bytes);
        outbox.push(&facts, &attributes);
    }
    outbox.flush()?;
    Ok(())
}

/// Reads exactly one frame of `M`, however slowly it comes, within `timeout`. More is not read before the client has shown a
/// secret.
pub fn read_first<M: Message>(connection: &Connection, timeout: Duration) -> Result<M, End> {
    let deadline = Instant::now() + timeout;
    let mut bytes = vec![0u8; HEADER_BYTES + M::SHAPE.fixed];
    let mut got = 0;
    while got < bytes.len() {
        match connection.recv_now(&mut bytes[got..]) {
            Ok(0) => return Err(End::Closed),
            Ok(count) => got += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || !connection.wait_readable(Some(left))? {
                    return Err(End::Garbage(format!("no {} came in time", M::SHAPE.name)));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let header = Header::read(&bytes)?.ok_or(End::Closed)?;
    if header.call != M::SHAPE.call || header.is_reply() || header.length as usize != bytes.len() {
        return Err(End::Garbage(format!(
            "the first frame is not {}",
            M::SHAPE.name
        )));
    }
    read(&bytes[HEADER_BYTES..])
}

/// Compares in a time that does not depend on where the first difference is.
pub fn equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}
