//! A client of the parent's listener that can be anybody.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

/// The part of an invitation that a client needs, as it stands in `FLAME_PARENT`.
#[derive(Clone, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) address: String,
    pub(crate) node: String,
    pub(crate) token: String,
    identity: Identity,
    /// The whole of it, as it was read.
    #[serde(skip)]
    pub(crate) text: String,
}

#[derive(Clone, Deserialize)]
struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What a runner says first.
#[derive(Serialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) purpose: &'static str,
    pub(crate) token: String,
    pub(crate) node: String,
    pub(crate) build: Build,
    pub(crate) process: u32,
}

#[derive(Serialize)]
pub(crate) struct Build {
    pub(crate) id: String,
    pub(crate) tasks: String,
}

impl Invitation {
    pub(crate) fn read(text: &str) -> Self {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        let invitation: Self = rmp_serde::from_slice(&bytes).expect("an invitation");
        Self { text: text.to_owned(), ..invitation }
    }

    pub(crate) fn hello(&self) -> Hello {
        let build = Build { id: String::new(), tasks: String::new() };
        Hello { protocol: 1, purpose: "Link", token: self.token.clone(), node: self.node.clone(), build, process: 0 }
    }

    /// What it proves itself with, in DER.
    pub(crate) fn certificate_and_key(&self) -> (&[u8], &[u8]) {
        (&self.identity.certificate, &self.identity.key)
    }

    /// Who has read this invitation.
    pub(crate) fn impostor(&self) -> Client {
        Client { identity: Some((self.identity.certificate.clone(), self.identity.key.clone())) }
    }
}

/// What a client shows.
pub(crate) struct Client {
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Client {
    /// Shows no certificate.
    pub(crate) fn anonymous() -> Self {
        Self { identity: None }
    }

    /// Shows a certificate of an authority of its own, in which all else is right.
    pub(crate) fn stranger() -> Self {
        let mut authority = CertificateParams::new(vec!["flame authority".to_owned()]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["runner.flame".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Self { identity: Some((certificate.der().to_vec(), key.serialize_der())) }
    }

    /// Dials; whatever the listener's own certificate is.
    pub(crate) async fn dial(&self, address: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(address).await?;
        TlsConnector::from(self.config()).connect(ServerName::try_from("parent.flame").unwrap(), socket).await
    }

    fn config(&self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = match self.identity.clone() {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from(certificate)],
                    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![b"flame/1".to_vec()];
        Arc::new(config)
    }

    /// Dials, sends these bytes and gives what comes back until the end, or the error.
    pub(crate) async fn say(&self, address: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = self.dial(address).await?;
        stream.write_all(bytes).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        match read.await.expect("the listener ends what it does not like") {
            Ok(_) => Ok(answer),
            // What came before an unclean end was heard all the same.
            Err(_) if !answer.is_empty() => Ok(answer),
            Err(err) => Err(err),
        }
    }
}

/// The first message of a handshake.
pub(crate) fn client_hello() -> Vec<u8> {
    let name = ServerName::try_from("parent.flame").unwrap();
    let mut connection = ClientConnection::new(Client::anonymous().config(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// A value as the join protocol frames it.
pub(crate) fn framed(value: &impl Serialize) -> Vec<u8> {
    let body = rmp_serde::to_vec_named(value).unwrap();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
