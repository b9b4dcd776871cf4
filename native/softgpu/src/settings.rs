//! The settings of the software GPUs, read from the environment once, when CUDA or NVML is initialised.

use std::path::PathBuf;
use std::time::Duration;

/// What the environment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Memory in bytes of each device; the length is the number of devices.
    pub memory_bytes: Vec<u64>,
    pub model: String,
    pub compute_major: u32,
    pub compute_minor: u32,
    /// Directory of the files that all processes on these devices share; none: this process is alone.
    pub state_dir: Option<PathBuf>,
    /// Launches are checked and then done at once, without running anything.
    pub null_kernels: bool,
    /// Host threads that one kernel runs on.
    pub threads: usize,
    /// How long a kernel may run; none: for ever.
    pub kernel_limit: Option<Duration>,
    /// Makes the UUIDs of one machine differ from those of another.
    pub seed: u64,
}

/// Devices beyond this are refused: every one reserves a TiB of address space.
pub const DEVICES_MAX: usize = 16;
const MEMORY_MIN: u64 = 2 << 20;
const MEMORY_MAX: u64 = 512 << 30;

impl Settings {
    /// Reads the settings through `variable`; the error names the variable and what would be right.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let text = |name: &str, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
        let (compute_major, compute_minor) =
            capability(&text("SOFTGPU_COMPUTE_CAPABILITY", "8.0"))?;
        let kernel_ms = number(
            "SOFTGPU_KERNEL_MS",
            &text("SOFTGPU_KERNEL_MS", "0"),
            0,
            86_400_000,
        )?;
        let model = text("SOFTGPU_MODEL", "Aquifer Software GPU");
        if model.is_empty() || model.len() > 95 || model.contains('\0') {
            return Err(format!("SOFTGPU_MODEL: {model:?} must have 1 to 95 bytes"));
        }
        Ok(Settings {
            memory_bytes: devices(&text("SOFTGPU_DEVICES", "1x8Gi"))?,
            model,
            compute_major,
            compute_minor,
            state_dir: variable("SOFTGPU_STATE_DIR")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from),
            null_kernels: flag("SOFTGPU_NULL_KERNELS", &text("SOFTGPU_NULL_KERNELS", "0"))?,
            threads: number("SOFTGPU_THREADS", &text("SOFTGPU_THREADS", "1"), 1, 256)? as usize,
            kernel_limit: (kernel_ms > 0).then(|| Duration::from_millis(kernel_ms)),
            seed: number("SOFTGPU_SEED", &text("SOFTGPU_SEED", "0"), 0, u64::MAX)?,
        })
    }
}

fn devices(text: &str) -> Result<Vec<u64>, String> {
    let wrong = || {
        format!(
            "SOFTGPU_DEVICES: {text:?} is not COUNTxMEMORY such as 2x8Gi (1 to {DEVICES_MAX} devices of 2Mi to 512Gi)"
        )
    };
    let mut all = Vec::new();
    for group in text.split(',') {
        let (count, memory) = group.trim().split_once('x').ok_or_else(wrong)?;
        let count: usize = count.parse().map_err(|_| wrong())?;
        let bytes = quantity(memory).ok_or_else(wrong)?;
        if count == 0 || count > DEVICES_MAX || !(MEMORY_MIN..=MEMORY_MAX).contains(&bytes) {
            return Err(wrong());
        }
        all.resize(all.len() + count, bytes);
    }
    if all.len() > DEVICES_MAX {
        Err(wrong())
    } else {
        Ok(all)
    }
}

fn quantity(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit: u64 = match &text[digits..] {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

fn capability(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("SOFTGPU_COMPUTE_CAPABILITY: {text:?} is not MAJOR.MINOR such as 8.0");
    let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
    let (major, minor) = (
        major.parse().map_err(|_| wrong())?,
        minor.parse().map_err(|_| wrong())?,
    );
    if !(3..=12).contains(&major) || minor > 9 {
        Err(wrong())
    } else {
        Ok((major, minor))
    }
}

fn flag(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "1" => Ok(true),
        "0" | "" => Ok(false),
        _ => Err(format!("{name}: {text:?} is neither 0 nor 1")),
    }
}

fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, String> {
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!(
            "{name}: {text:?} is not a number from {least} to {most}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| {
            pairs
                .iter()
                .find(|pair| pair.0 == name)
                .map(|pair| pair.1.to_owned())
        })
    }

    #[test]
    fn defaults_are_one_device_of_8_gib() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.memory_bytes, [8 << 30]);
        assert_eq!((settings.compute_major, settings.compute_minor), (8, 0));
        assert!(!settings.null_kernels && settings.state_dir.is_none());
    }

    #[test]
    fn devices_are_counted_groups() {
        let settings = read(&[("SOFTGPU_DEVICES", "2x8Gi,1x512Mi")]).unwrap();
        assert_eq!(settings.memory_bytes, [8 << 30, 8 << 30, 512 << 20]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_variable() {
        for (name, value) in [
            ("SOFTGPU_DEVICES", "8Gi"),
            ("SOFTGPU_DEVICES", "0x8Gi"),
            ("SOFTGPU_DEVICES", "17x8Gi"),
            ("SOFTGPU_DEVICES", "1x8G"),
            ("SOFTGPU_DEVICES", "1x99999999999999999999Gi"),
            ("SOFTGPU_COMPUTE_CAPABILITY", "80"),
            ("SOFTGPU_NULL_KERNELS", "yes"),
            ("SOFTGPU_THREADS", "0"),
            ("SOFTGPU_KERNEL_MS", "1s"),
            ("SOFTGPU_MODEL", ""),
            ("SOFTGPU_SEED", "-1"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
