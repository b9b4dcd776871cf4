//! What NVML knows: asked anew for what changes, by a connection that is made anew when it broke or when the process forked.

use super::Answer;
use aquifer_nvml::*;
use aquifer_protocol::PROTOCOL_VERSION;
use aquifer_protocol::session_socket::{
    InspectedGpu, OpenReply, OpenRequest, Purpose, receive, send,
};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The first word of a device handle, above its index.
const HANDLE_BASE: usize = 0x4e56_0001;

struct State {
    users: u32,
    /// The connector, and the process that connected to it.
    connector: Option<(OwnedFd, u32)>,
    gpus: Vec<InspectedGpu>,
}

static STATE: Mutex<State> = Mutex::new(State {
    users: 0,
    connector: None,
    gpus: Vec::new(),
});

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Asks the connector for what there is now.
    fn refresh(&mut self) -> Answer {
        let ours = self
            .connector
            .as_ref()
            .filter(|(_, pid)| *pid == std::process::id());
        let again = ours.and_then(|(socket, _)| ask_again(socket));
        let gpus = match again {
            Some(reply) => gpus_of(reply)?,
            None => {
                let (socket, reply, _) =
                    crate::open::ask(Purpose::Inspect).map_err(|(path, error)| {
                        crate::log::error(format_args!(
                            "no vGPU: the session socket {path} cannot be used: {error}"
                        ));
                        NVML_ERROR_DRIVER_NOT_LOADED
                    })?;
                self.connector = Some((socket, std::process::id()));
                gpus_of(reply)?
            }
        };
        self.gpus = gpus;
        Ok(())
    }
}

fn ask_again(socket: &OwnedFd) -> Option<OpenReply> {
    let program = String::new();
    let request = OpenRequest {
        session: None,
        v: 1,
        protocol: PROTOCOL_VERSION.to_owned(),
        purpose: Purpose::Inspect,
        program,
    };
    send(socket.as_raw_fd(), &request, None).ok()?;
    receive(socket.as_raw_fd()).ok().map(|(reply, _)| reply)
}

fn gpus_of(reply: OpenReply) -> Answer<Vec<InspectedGpu>> {
    if reply.ok {
        return Ok(reply.vgpus.unwrap_or_default());
    }
    let (reason, message) = (
        reply.reason.unwrap_or_default(),
        reply.message.unwrap_or_default(),
    );
    crate::log::error(format_args!("no vGPU: {reason}: {message}"));
    Err(if reason == "ProtocolMismatch" {
        NVML_ERROR_LIB_RM_VERSION_MISMATCH
    } else {
        NVML_ERROR_DRIVER_NOT_LOADED
    })
}

/// nvmlInit: counts.
pub fn init() -> Answer {
    crate::log::set_from_environment();
    let mut state = lock();
    state.refresh()?;
    state.users += 1;
    Ok(())
}

/// nvmlShutdown: the last one closes the connection.
pub fn shutdown() -> Answer {
    let mut state = lock();
    if state.users == 0 {
        return Err(NVML_ERROR_UNINITIALIZED);
    }
    state.users -= 1;
    if state.users == 0 {
        state.connector = None;
        state.gpus.clear();
    }
    Ok(())
}

/// Every vGPU as it was last seen.
pub fn gpus() -> Answer<Vec<InspectedGpu>> {
    let state = lock();
    if state.users == 0 {
        Err(NVML_ERROR_UNINITIALIZED)
    } else {
        Ok(state.gpus.clone())
    }
}

/// The handle of an index.
pub fn handle(index: usize) -> nvmlDevice_t {
    (HANDLE_BASE + index) as nvmlDevice_t
}

/// The index of a handle.
pub fn index(device: nvmlDevice_t) -> Answer<usize> {
    let index = (device as usize).wrapping_sub(HANDLE_BASE);
    if index < gpus()?.len() {
        Ok(index)
    } else {
        Err(NVML_ERROR_INVALID_ARGUMENT)
    }
}

/// What is fixed of a vGPU.
pub fn gpu(device: nvmlDevice_t) -> Answer<InspectedGpu> {
    let index = index(device)?;
    gpus()?
        .get(index)
        .cloned()
        .ok_or(NVML_ERROR_INVALID_ARGUMENT)
}

/// A vGPU as it is now.
pub fn gpu_now(device: nvmlDevice_t) -> Answer<InspectedGpu> {
    let index = index(device)?;
    let mut state = lock();
    state.refresh()?;
    state.gpus.get(index).cloned().ok_or(NVML_ERROR_GPU_IS_LOST)
}
