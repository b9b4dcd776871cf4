//! What the spawner tells a worker: one line of JSON on standard input, so that no secret is in an argument list.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The longest configuration line, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// A worker's configuration.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The session's id, 32 hex digits.
    pub session: String,
    pub claim: ClaimName,
    /// The vGPUs that the program sees, in its order, as large as the claim has them.
    pub vgpus: Vec<Vgpu>,
    /// The nested container that the program is in, where its claim is divided.
    #[serde(default)]
    pub container: Option<Container>,
    pub ledger_dir: PathBuf,
    pub turns_dir: PathBuf,
    pub control_socket: PathBuf,
    /// Path of the libcuda.so.1 to load.
    pub driver: PathBuf,
    pub transport: Transport,
    /// What the client must show in its first frame, 64 hex digits.
    pub secret: String,
    /// Seconds to wait for the data connection; 60 where unsaid.
    #[serde(default = "sixty")]
    pub idle_seconds: u64,
    /// Seconds that a kernel may keep the GPU while other workers wait for it; 30 where unsaid.
    #[serde(default = "thirty")]
    pub kernel_seconds: u64,
    /// Seconds that a client whose connection is lost has to come back; 120 where unsaid. Only with TLS.
    #[serde(default = "two_minutes")]
    pub grace_seconds: u64,
    /// Environment of the driver.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// Which claim the session draws on.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimName {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// One vGPU.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vgpu {
    pub index: u32,
    /// The GPU's UUID, `GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    pub gpu: String,
    pub memory_bytes: u64,
    /// Cap in percent of the GPU's time, 1 to 100.
    pub compute_percent: u32,
}

/// A nested container and its share of the claim.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// Tells it from the claim's others, 16 hex digits.
    pub key: String,
    /// Of each vGPU.
    pub memory_bytes: u64,
    /// Cap of each vGPU in percent of the GPU's time, 1 to 100.
    pub compute_percent: u32,
}

/// What carries the data connection.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Unix,
    Tls,
}

fn sixty() -> u64 {
    60
}

fn thirty() -> u64 {
    30
}

fn two_minutes() -> u64 {
    120
}

impl Config {
    /// Reads and checks a configuration line. The error names the field and what would be right.
    pub fn parse(line: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(line)
            .map_err(|error| format!("the configuration line: {error}"))?;
        config.check()?;
        Ok(config)
    }

    /// The session's id as bytes.
    pub fn session_id(&self) -> [u8; 16] {
        hex(&self.session).unwrap_or_default()
    }

    /// The secret as bytes; none is never equal to what a client shows.
    pub fn secret_bytes(&self) -> Option<[u8; 32]> {
        hex(&self.secret)
    }

    /// What the program may use of `vgpu`: memory in bytes, and percent of the GPU's time.
    pub fn size_of(&self, vgpu: &Vgpu) -> (u64, u32) {
        let (bytes, percent) = (vgpu.memory_bytes, vgpu.compute_percent);
        self.container.as_ref().map_or((bytes, percent), |share| {
            (
                bytes.min(share.memory_bytes),
                percent.min(share.compute_percent),
            )
        })
    }

    fn check(&self) -> Result<(), String> {
        let demand = |right: bool, message: &str| {
            if right {
                Ok(())
            } else {
                Err(message.to_owned())
            }
        };
        demand(
            hex::<16>(&self.session).is_some(),
            "session: must be 32 hex digits",
        )?;
        demand(
            hex::<32>(&self.secret).is_some(),
            "secret: must be 64 hex digits",
        )?;
        demand(
            !self.claim.uid.is_empty() && self.claim.uid.len() < 64,
            "claim.uid: must have 1 to 63 bytes",
        )?;
        demand(
            is_file_name(&self.claim.uid),
            "claim.uid: must not hold '/' or zero bytes",
        )?;
        demand(
            (1..=16).contains(&self.vgpus.len()),
            "vgpus: must have 1 to 16 entries",
        )?;
        if let Some(share) = &self.container {
            demand(
                hex::<8>(&share.key).is_some(),
                "container.key: must be 16 hex digits",
            )?;
            demand(
                share.memory_bytes >= 2 << 20,
                "container.memoryBytes: must be at least 2097152",
            )?;
            demand(
                (1..=100).contains(&share.compute_percent),
                "container.computePercent: must be 1 to 100",
            )?;
        }
        for (at, vgpu) in self.vgpus.iter().enumerate() {
            let field = format!("vgpus[{at}]");
            demand(
                vgpu.index as usize == at,
                &format!("{field}.index: must be {at}, its place in the list"),
            )?;
            demand(
                is_file_name(&vgpu.gpu) && parse_uuid(&vgpu.gpu).is_some(),
                &format!("{field}.gpu: must be GPU- and a UUID"),
            )?;
            demand(
                vgpu.memory_bytes >= 2 << 20,
                &format!("{field}.memoryBytes: must be at least 2097152"),
            )?;
            demand(
                vgpu.memory_bytes <= 1 << 44,
                &format!("{field}.memoryBytes: must be at most 17592186044416"),
            )?;
            demand(
                (1..=100).contains(&vgpu.compute_percent),
                &format!("{field}.computePercent: must be 1 to 100"),
            )?;
        }
        Ok(())
    }
}

/// A GPU's UUID as bytes, from the form that NVML and nvidia-smi print.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("GPU-")?;
    let groups: Vec<usize> = digits.split('-').map(str::len).collect();
    if groups != [8, 4, 4, 4, 12] {
        return None;
    }
    hex(&digits.replace('-', ""))
}

/// `N` bytes from exactly `2 * N` hex digits.
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| (pair[at] as char).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(bytes)
}

fn is_file_name(text: &str) -> bool {
    !text.contains(['/', '\0']) && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = json!({
            "session": "00112233445566778899aabbccddeeff",
            "claim": {"namespace": "team", "name": "trainer", "uid": "u-1"},
            "vgpus": [{"index": 0, "gpu": "GPU-00000000-0000-4000-8000-000000000001", "memoryBytes": 1u64 << 30, "computePercent": 30}],
            "ledgerDir": "/l", "turnsDir": "/t", "controlSocket": "/s", "driver": "/d", "transport": "unix",
            "secret": "ab".repeat(32),
            "container": {"key": "0123456789abcdef", "memoryBytes": 1u64 << 29, "computePercent": 50},
        });
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let config = Config::parse(&line(|_| ())).ok().unwrap();
        assert_eq!(config.size_of(&config.vgpus[0]), (1 << 29, 30));
        assert_eq!(config.session_id()[1], 0x11);
        assert_eq!(config.secret_bytes(), Some([0xab; 32]));
        assert_eq!((config.idle_seconds, config.kernel_seconds), (60, 30));
    }

    #[test]
    fn each_wrong_field_is_named() {
        let cases: [(&str, &str, serde_json::Value); 12] = [
            ("session", "/session", json!("12")),
            ("secret", "/secret", json!("zz".repeat(32))),
            ("claim.uid", "/claim/uid", json!("a/b")),
            ("vgpus", "/vgpus", json!([])),
            ("vgpus[0].index", "/vgpus/0/index", json!(1)),
            ("vgpus[0].gpu", "/vgpus/0/gpu", json!("GPU-1")),
            ("vgpus[0].memoryBytes", "/vgpus/0/memoryBytes", json!(5)),
            (
                "vgpus[0].computePercent",
                "/vgpus/0/computePercent",
                json!(101),
            ),
            ("container.key", "/container/key", json!("../../../etc")),
            ("container.memoryBytes", "/container/memoryBytes", json!(5)),
            (
                "container.computePercent",
                "/container/computePercent",
                json!(0),
            ),
            ("transport", "/transport", json!("carrier pigeon")),
        ];
        for (field, pointer, wrong) in cases {
            let text = line(|value| *value.pointer_mut(pointer).unwrap() = wrong);
            let error = Config::parse(&text).err().unwrap();
            assert!(
                error.contains(field) || error.contains("pigeon"),
                "{field}: {error}"
            );
        }
        assert!(
            Config::parse(&line(|value| value["surprise"] = json!(1)))
                .err()
                .unwrap()
                .contains("surprise")
        );
    }
}
