//! TLS 1.3 with the worker's raw public key (RFC 7250), made for one session and pinned by the client. The client proves
//! itself by the session's secret in its first frame, so it shows no key.

use ring::signature::Ed25519KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedCipherSuite, version,
};
use std::io;
use std::sync::Arc;

/// 32 bytes that nobody can guess.
pub fn random_secret() -> io::Result<[u8; 32]> {
    let random = ring::rand::generate(&ring::rand::SystemRandom::new());
    let random = random.map_err(|_| io::Error::other("no random numbers"))?;
    Ok(random.expose())
}

/// A worker's key for one session.
pub struct SessionKey {
    certified: Arc<CertifiedKey>,
    spki: Vec<u8>,
}

impl SessionKey {
    /// Makes an Ed25519 key from the system's randomness.
    pub fn generate() -> io::Result<Self> {
        let unusable = |_| io::Error::other("no Ed25519 key could be made");
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).map_err(unusable)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()));
        let key = provider::sign::any_supported_type(&der).map_err(io::Error::other)?;
        let spki = key
            .public_key()
            .ok_or_else(|| io::Error::other("the key has no public half"))?
            .as_ref()
            .to_vec();
        let certified = Arc::new(CertifiedKey::new(
            vec![CertificateDer::from(spki.clone())],
            key,
        ));
        Ok(Self { certified, spki })
    }

    /// The public half as SubjectPublicKeyInfo (DER): what the client pins.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

#[derive(Debug)]
struct Pinned {
    spki: Vec<u8>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.as_ref() == self.spki {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(
            "the peer's key is not the session's".to_owned(),
        ))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(certificate.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(
            message,
            &key,
            signature,
            &self.algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The ciphers of data connections, the fastest of this machine first: a server goes by its client's order, and the client may be
/// a guest.
pub fn cipher_suites() -> Vec<SupportedCipherSuite> {
    let mut suites = vec![
        provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
        provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    if !has_fast_aes() {
        suites.reverse();
    }
    suites
}

/// Whether AES is done by the CPU itself. QEMU's emulation says that it has the instructions, and takes 100 ns for a carry-less
/// multiplication.
#[cfg(target_arch = "x86_64")]
fn has_fast_aes() -> bool {
    use std::arch::x86_64::__cpuid;
    /// The leaf where a hypervisor says who it is, and the bit of leaf 1 that says that there is one.
    const HYPERVISOR_LEAF: u32 = 0x4000_0000;
    const HYPERVISOR_BIT: u32 = 1 << 31;
    let is_emulated = __cpuid(1).ecx & HYPERVISOR_BIT != 0
        && __cpuid(HYPERVISOR_LEAF).ebx.to_le_bytes() == *b"TCGT";
    std::arch::is_x86_feature_detected!("aes") && !is_emulated
}

#[cfg(not(target_arch = "x86_64"))]
fn has_fast_aes() -> bool {
    true
}

fn crypto() -> Arc<CryptoProvider> {
    let mut crypto = provider::default_provider();
    crypto.cipher_suites = cipher_suites();
    crypto.kx_groups = vec![provider::kx_group::X25519];
    Arc::new(crypto)
}

/// A client that accepts exactly the key `spki`.
pub(crate) fn client(spki: &[u8]) -> Result<rustls::ClientConnection, Error> {
    let crypto = crypto();
    let algorithms = crypto.signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            spki: spki.to_vec(),
            algorithms,
        }))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    let name =
        ServerName::try_from("worker").map_err(|_| Error::General("server name".to_owned()))?;
    rustls::ClientConnection::new(Arc::new(config), name)
}

/// A server that shows `key`. It sends no session tickets: a session is never resumed by TLS.
pub(crate) fn server(key: &SessionKey) -> Result<rustls::ServerConnection, Error> {
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(
            rustls::server::AlwaysResolvesServerRawPublicKeys::new(key.certified.clone()),
        ));
    config.send_tls13_tickets = 0;
    rustls::ServerConnection::new(Arc::new(config))
}
