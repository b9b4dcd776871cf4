//! TLS 1.3 of the control connection: the gateway shows a certificate of the pool's CA for its node's name, the holder
//! proves its raw Ed25519 key (RFC 7250). Neither side sends a name that DNS would have to vouch for.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring as provider, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::identity::{HolderKey, Identity};

/// The application protocol of the control connection: an HTTP client that strays here is refused in the handshake.
const ALPN: &[u8] = b"aquifer-control/1";

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

/// Any Ed25519 key is let through the handshake: what it may do is decided by the tickets that are bound to it.
#[derive(Debug)]
struct AnyHolder(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyHolder {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match HolderKey::from_spki(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(Error::InvalidCertificate(
                rustls::CertificateError::BadEncoding,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(cert.as_ref()),
            dss,
            &self.0,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Any gateway is let through the handshake, which proves that it has the key of its certificate.
#[derive(Debug)]
struct AnyGateway(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyGateway {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The gateway's side.
pub fn server_config(
    certificate_pem: &str,
    private_key_pem: &str,
) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| io::Error::other(format!("certificate: {error:?}")))?;
    let key = PrivateKeyDer::from_pem_slice(private_key_pem.as_bytes())
        .map_err(|error| io::Error::other(format!("private key: {error:?}")))?;
    let crypto = crypto();
    let verifier = Arc::new(AnyHolder(crypto.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| {
            io::Error::other(format!("the server certificate cannot be used: {error}"))
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed connection would bring an older proof of the holder's key; a full handshake costs half a millisecond.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The connector's side: trusts the pool's CA alone, shows `identity`'s raw key.
pub fn client_config(ca_pem: &str, identity: &Identity) -> io::Result<Arc<ClientConfig>> {
    client_config_with(gateways_of(ca_pem)?, identity)
}

/// The side of a connector that knows no CA yet, and asks the host of its guest for it. Whether the answer comes from a gateway of
/// that CA is for [`is_gateway`] to say.
pub fn asking_config(identity: &Identity) -> io::Result<Arc<ClientConfig>> {
    let algorithms = crypto().signature_verification_algorithms;
    client_config_with(Arc::new(AnyGateway(algorithms)), identity)
}

/// Whether the certificates that a gateway has shown are the node's, by this CA.
pub fn is_gateway(chain: &[CertificateDer<'_>], node: &str, ca_pem: &str) -> io::Result<()> {
    let (first, others) = chain
        .split_first()
        .ok_or_else(|| io::Error::other("the gateway has shown no certificate"))?;
    let verifier = gateways_of(ca_pem)?;
    verifier
        .verify_server_cert(first, others, &node_name(node)?, &[], UnixTime::now())
        .map(drop)
        .map_err(io::Error::other)
}

/// What trusts a pool's CA alone.
fn gateways_of(ca_pem: &str) -> io::Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate =
            certificate.map_err(|error| io::Error::other(format!("ca: {error:?}")))?;
        roots
            .add(certificate)
            .map_err(|error| io::Error::other(format!("ca: {error}")))?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("ca: it holds no certificate"));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto())
        .build()
        .map_err(io::Error::other)
}

fn client_config_with(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: &Identity,
) -> io::Result<Arc<ClientConfig>> {
    let crypto = crypto();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.pkcs8().to_vec()));
    let signer = crypto
        .key_provider
        .load_private_key(key)
        .map_err(io::Error::other)?;
    let spki = CertificateDer::from(identity.public().spki());
    let certified = Arc::new(CertifiedKey::new(vec![spki], signer));
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The name that a node's certificate must carry.
pub fn node_name(node: &str) -> io::Result<ServerName<'static>> {
    let text = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("node {node:?} is no DNS name"),
        )
    };
    match ServerName::try_from(node.to_owned()) {
        Ok(name @ ServerName::DnsName(_)) => Ok(name),
        _ => Err(text()),
    }
}

/// The key that the peer of a finished handshake has proved.
pub fn holder_of(connection: &rustls::ServerConnection) -> Option<HolderKey> {
    HolderKey::from_spki(connection.peer_certificates()?.first()?)
}
