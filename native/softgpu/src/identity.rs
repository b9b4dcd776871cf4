//! Who a device is: its UUID and its place on a PCI bus that does not exist.

use crate::settings::Settings;

/// The names of one device; equal settings give equal names, in every process and after every restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uuid: [u8; 16],
    pub pci_bus: u32,
}

/// PCI vendor and device number: the vendor is one that the PCI-SIG has not given to anyone.
pub const PCI_DEVICE_ID: u32 = 0x0001_fffe;

impl Identity {
    /// The identity of the device with this index.
    pub fn of(settings: &Settings, index: usize) -> Identity {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(settings.model.as_bytes());
        bytes.extend_from_slice(&settings.seed.to_le_bytes());
        bytes.extend_from_slice(&(index as u64).to_le_bytes());
        let (high, low) = (
            hash(0x6171_7569_6665_7231, &bytes),
            hash(0x736f_6674_6770_7531, &bytes),
        );
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&high.to_be_bytes());
        uuid[8..].copy_from_slice(&low.to_be_bytes());
        uuid[6] = uuid[6] & 0x0f | 0x80; // version 8: free-form
        uuid[8] = uuid[8] & 0x3f | 0x80;
        Identity {
            uuid,
            pci_bus: index as u32 + 1,
        }
    }

    /// `GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    pub fn uuid_text(&self) -> String {
        let hex: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "GPU-{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    /// `DDDD:BB:DD.F` as the CUDA driver writes it.
    pub fn pci_text(&self) -> String {
        format!("0000:{:02X}:00.0", self.pci_bus)
    }

    /// True if `text` names this device, with a domain of four or eight digits or none.
    pub fn is_pci(&self, text: &str) -> bool {
        let Some((rest, slot)) = text.rsplit_once(':') else {
            return false;
        };
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let hex = |part: &str| u32::from_str_radix(part, 16).ok();
        let (device, function) = slot.split_once('.').unwrap_or((slot, "0"));
        hex(domain) == Some(0)
            && hex(bus) == Some(self.pci_bus)
            && hex(device) == Some(0)
            && hex(function) == Some(0)
    }
}

/// FNV-1a with a final mix: distributes well enough for names, and is not meant against anyone.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    let mut value = start ^ 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        value = (value ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(model: &str, index: usize) -> Identity {
        let mut settings = Settings::read(|_| None).unwrap();
        settings.model = model.to_owned();
        Identity::of(&settings, index)
    }

    #[test]
    fn uuids_are_stable_and_differ_by_model_and_index() {
        assert_eq!(identity("a", 0), identity("a", 0));
        assert_ne!(identity("a", 0).uuid, identity("a", 1).uuid);
        assert_ne!(identity("a", 0).uuid, identity("b", 0).uuid);
        assert_eq!(identity("a", 0).uuid_text().len(), 40);
    }

    #[test]
    fn pci_names_are_read_in_each_of_their_forms() {
        let second = identity("a", 1);
        for text in ["0000:02:00.0", "00000000:02:00.0", "02:00.0", "0:2:0"] {
            assert!(second.is_pci(text), "{text}");
        }
        for text in [
            "0000:01:00.0",
            "0001:02:00.0",
            "02",
            "",
            "zz:02:00.0",
            "0000:02:00.1",
        ] {
            assert!(!second.is_pci(text), "{text}");
        }
    }
}
