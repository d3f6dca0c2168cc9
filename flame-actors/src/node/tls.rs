//! Who may talk to whom: mutual TLS 1.3 with an authority that each parent mints in memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, client, version};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Error;

/// The name in every parent's certificate: authorities are per parent, so the authority is what tells them apart.
const PARENT_NAME: &str = "parent.flame";
const ALPN: &[u8] = b"flame/1";

/// Certificates begin before they are made, for runners whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// They cover the greatest age of a runner, which has none by default. They end with the parent's process in any
/// case, since the authority's key never leaves its memory.
const VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a runner proves itself with, and knows its parent by.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(secret)")
    }
}

impl Identity {
    /// The certificate, by which the parent recognises the runner.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What the runner dials with.
    pub(crate) fn connector(&self) -> Result<TlsConnector, Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(invalid)?
            .with_root_certificates(roots(self.authority.clone())?)
            .with_client_auth_cert(
                vec![CertificateDer::from(self.certificate.clone())],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())),
            )
            .map_err(invalid)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = client::Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// The name that a runner expects its parent to prove.
pub(crate) fn parent_name() -> ServerName<'static> {
    ServerName::try_from(PARENT_NAME).expect("it is a DNS name")
}

/// Signs the identities of one parent and its runners. Its key never leaves this process.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    acceptor: TlsAcceptor,
}

impl Authority {
    pub(crate) fn mint() -> Result<Self, Error> {
        let mut params = params("flame authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(invalid)?;
        let certificate = params.self_signed(&key).map_err(invalid)?.der().to_vec();
        let issuer = Issuer::new(params, key);

        let (own, own_key) = sign(&issuer, PARENT_NAME, ExtendedKeyUsagePurpose::ServerAuth)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(certificate.clone())?, provider())
            .build()
            .map_err(invalid)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(invalid)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![CertificateDer::from(own)], PrivateKeyDer::Pkcs8(own_key.into()))
            .map_err(invalid)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Self { issuer, certificate, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// A new identity for one runner.
    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        let (certificate, key) = sign(&self.issuer, "runner.flame", ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Identity { authority: self.certificate.clone(), certificate, key })
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// A secret that nobody can guess: 256 random bits in hexadecimal.
pub(crate) fn token() -> String {
    let mut bytes = [0; 32];
    provider().secure_random.fill(&mut bytes).expect("the operating system's random numbers are available");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sign(
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let mut params = params(name)?;
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().map_err(invalid)?;
    let certificate = params.signed_by(&key, issuer).map_err(invalid)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

fn params(name: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(invalid)?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALID_FOR).into();
    Ok(params)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(authority: Vec<u8>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority)).map_err(invalid)?;
    Ok(Arc::new(roots))
}

fn invalid(err: impl std::fmt::Display) -> Error {
    Error::Join(format!("no valid identity: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_does_not_show_its_key() {
        let identity = Authority::mint().unwrap().identity().unwrap();
        assert_eq!(format!("{identity:?}"), "Identity(secret)");
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token(), token());
        assert_eq!(token().len(), 64);
    }
}
