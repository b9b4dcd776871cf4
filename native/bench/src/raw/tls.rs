//! TLS 1.3 by rustls with the cipher of Aquifer's data connections, and no other code of Aquifer.

use super::socket::Socket;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io::{Error, Read, Result, Write};
use std::sync::Arc;

/// Ciphertext read in one call, in bytes.
const READ_BYTES: usize = 128 << 10;
const NAME: &str = "peer";

pub struct Tls {
    session: rustls::Connection,
    socket: Socket,
    input: Box<[u8]>,
    taken: usize,
    filled: usize,
}

fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    let mut crypto = provider::default_provider();
    crypto.cipher_suites = aquifer_protocol::cipher_suites();
    Arc::new(crypto)
}

impl Tls {
    /// The peer makes its certificate for this connection alone and sends it before all else, in the clear.
    pub fn server(mut socket: Socket) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(Error::other)?;
        let certificate = made.cert.der().clone();
        socket.write_all(&(certificate.len() as u32).to_le_bytes())?;
        socket.write_all(&certificate)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .map_err(Error::other)?;
        let session = ServerConnection::new(Arc::new(config)).map_err(Error::other)?;
        Self::shake_hands(session.into(), socket)
    }

    pub fn client(mut socket: Socket) -> Result<Self> {
        let mut length = [0; 4];
        socket.read_exact(&mut length)?;
        let mut certificate = vec![0; u32::from_le_bytes(length) as usize];
        socket.read_exact(&mut certificate)?;
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(certificate))
            .map_err(Error::other)?;
        let config = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).map_err(Error::other)?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(Error::other)?;
        Self::shake_hands(session.into(), socket)
    }

    fn shake_hands(mut session: rustls::Connection, mut socket: Socket) -> Result<Self> {
        session.set_buffer_limit(None);
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self {
            session,
            socket,
            input: vec![0; READ_BYTES].into_boxed_slice(),
            taken: 0,
            filled: 0,
        })
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.session.writer().write_all(bytes)?;
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    pub fn receive_some(&mut self, bytes: &mut [u8]) -> Result<usize> {
        loop {
            match self.session.reader().read(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.taken == self.filled {
                self.taken = 0;
                self.filled = self.socket.read(&mut self.input)?;
            }
            let mut kept = &self.input[self.taken..self.filled];
            self.taken += self.session.read_tls(&mut kept)?;
            self.session.process_new_packets().map_err(Error::other)?;
        }
    }
}
