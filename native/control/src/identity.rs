//! This process's own key: Ed25519, made where it runs, never sent anywhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// What precedes the 32 bytes of an Ed25519 public key in its SubjectPublicKeyInfo (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A holder's public key: the 32 raw bytes; as text the `x` of its JWK.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HolderKey(pub [u8; 32]);

impl HolderKey {
    /// Parses the base64url (no padding) `x`.
    pub fn parse(x: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(x).ok()?.try_into().ok().map(Self)
    }

    /// Reads it from a SubjectPublicKeyInfo; `None` for any other kind of key.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        let key = spki.strip_prefix(&SPKI_PREFIX)?;
        key.try_into().ok().map(Self)
    }

    /// Its SubjectPublicKeyInfo (DER).
    pub fn spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0[..]].concat()
    }
}

impl std::fmt::Display for HolderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl std::fmt::Debug for HolderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The private key. Its debug form shows the public half only.
pub struct Identity {
    pkcs8: Vec<u8>,
    public: HolderKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a key.
    pub fn generate() -> io::Result<Self> {
        let random = ring::rand::SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random)
            .map_err(|_| io::Error::other("no random numbers"))?;
        Self::from_pkcs8(document.as_ref().to_vec())
    }

    fn from_pkcs8(pkcs8: Vec<u8>) -> io::Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .map_err(|error| io::Error::other(format!("not an Ed25519 key: {error}")))?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(io::Error::other)?;
        Ok(Self {
            pkcs8,
            public: HolderKey(public),
        })
    }

    /// Reads the key in `path`, or makes one there (0600). Two processes that start at once end up with the same key.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => return Self::from_pkcs8(bytes),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let made = Self::generate()?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&made.pkcs8)?;
        file.sync_all()?;
        // A link, unlike a rename, does not replace the key that another process has made in the meantime.
        let linked = std::fs::hard_link(&temporary, path);
        std::fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => Ok(made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::from_pkcs8(std::fs::read(path)?)
            }
            Err(error) => Err(error),
        }
    }

    /// The public half.
    pub fn public(&self) -> HolderKey {
        self.public
    }

    /// The private key as PKCS #8, for the TLS library only.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

/// Random bytes from the kernel.
pub fn random_bytes<const LENGTH: usize>() -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let path =
            std::env::temp_dir().join(format!("aquifer-identity-{}.pk8", std::process::id()));
        let first = Identity::load_or_create(&path).unwrap();
        let second = Identity::load_or_create(&path).unwrap();
        assert_eq!(first.public(), second.public());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::write(&path, b"garbage").unwrap();
        assert!(Identity::load_or_create(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn keys_survive_text_and_spki() {
        let key = Identity::generate().unwrap().public();
        assert_eq!(HolderKey::parse(&key.to_string()), Some(key));
        assert_eq!(HolderKey::from_spki(&key.spki()), Some(key));
        assert_eq!(HolderKey::from_spki(&key.spki()[1..]), None);
        assert_eq!(HolderKey::parse("AAAA"), None);
    }
}
