//! The devices of this process, made once by cuInit or nvmlInit.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use aquifer_cuda::*;

use crate::fault::{Fault, FaultSwitch};
use crate::identity::Identity;
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::state::{Row, Shared};

/// One software GPU, as seen by this process.
pub struct Device {
    pub index: usize,
    pub identity: Identity,
    pub memory_bytes: u64,
    pub shared: Shared,
    pub faults: FaultSwitch,
    row: OnceLock<Row>,
}

/// All of them, with the settings that made them.
pub struct Driver {
    pub settings: Settings,
    pub devices: Vec<Device>,
}

static DRIVER: OnceLock<Driver> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// Reads the settings and opens the shared state, once. A failure is told on stderr and may be tried again.
pub fn start() -> Outcome<&'static Driver> {
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    match Driver::make() {
        Ok(driver) => Ok(DRIVER.get_or_init(|| driver)),
        Err((result, message)) => {
            eprintln!("softgpu: {message}");
            Err(result)
        }
    }
}

/// The driver, if it was started.
#[inline]
pub fn started() -> Option<&'static Driver> {
    DRIVER.get()
}

/// Only to open files in it: a worker of another user may not read the directory itself.
fn open_directory(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    File::options().read(true).custom_flags(flags).open(path)
}

impl Driver {
    fn make() -> Result<Driver, (CUresult, String)> {
        let settings = Settings::read(|name| std::env::var(name).ok());
        let settings = settings.map_err(|message| (CUDA_ERROR_INVALID_VALUE, message))?;
        let directory = match &settings.state_dir {
            None => None,
            Some(path) => Some(open_directory(path).map_err(|error| {
                (
                    CUDA_ERROR_OPERATING_SYSTEM,
                    format!("SOFTGPU_STATE_DIR: {}: {error}", path.display()),
                )
            })?),
        };
        let mut devices = Vec::new();
        for (index, memory_bytes) in settings.memory_bytes.iter().copied().enumerate() {
            let shared = match &directory {
                None => Shared::private(memory_bytes),
                Some(directory) => Shared::open(directory, index, memory_bytes),
            };
            let shared = shared.map_err(|error| {
                (
                    CUDA_ERROR_OPERATING_SYSTEM,
                    format!("SOFTGPU_STATE_DIR: state of device {index}: {error}"),
                )
            })?;
            devices.push(Device {
                index,
                identity: Identity::of(&settings, index),
                memory_bytes,
                shared,
                faults: FaultSwitch::new(directory.as_ref(), index),
                row: OnceLock::new(),
            });
        }
        Ok(Driver { settings, devices })
    }

    /// The device with this ordinal.
    pub fn device(&'static self, ordinal: CUdevice) -> Outcome<&'static Device> {
        let index = usize::try_from(ordinal).map_err(|_| CUDA_ERROR_INVALID_DEVICE)?;
        self.devices.get(index).ok_or(CUDA_ERROR_INVALID_DEVICE)
    }
}

impl Device {
    /// This process's row in the device's state, taken at its first context.
    pub fn enter(&self) -> Outcome<Row> {
        static ENTERING: Mutex<()> = Mutex::new(());
        if let Some(row) = self.row.get() {
            return Ok(*row);
        }
        let _one = ENTERING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = self.row.get() {
            return Ok(*row);
        }
        let row = self.shared.enter().ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        Ok(*self.row.get_or_init(|| row))
    }

    /// The row, if this process has one.
    #[inline]
    pub fn row(&self) -> Option<Row> {
        self.row.get().copied()
    }

    /// The code that calls on this device return now because of a fault.
    #[inline]
    pub fn check(&self) -> Outcome {
        match self.faults.fault().and_then(Fault::result) {
            None => Ok(()),
            Some(result) => Err(result),
        }
    }
}
