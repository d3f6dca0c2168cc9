//! Who may talk to whom: mutual TLS 1.3 with an authority that each parent mints in memory.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, client, version};
use webpki::EndEntityCert;

use super::build;
use super::join::Secret;
use crate::Error;

/// The name in every parent's certificate: authorities are per parent, so the authority is what tells them apart.
const PARENT_NAME: &str = "parent.flame";
/// What a runner's certificate says before its node name.
const NODE: &str = "flame:";
const ALPN: &[u8] = b"flame/1";
/// Offered beside it, with the [`knock`] behind it.
const KNOCK: &str = "flame-knock/";

/// 9999-12-31 23:59:59, by which RFC 5280 says that there is no end, in seconds.
const NO_END: Duration = Duration::from_secs(253_402_300_799);
/// The parent judges a runner's by the clock that dated it, which may be set back by a day in between.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// They cover the greatest age of a runner, which has none by default.
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

    /// What the runner dials with, when it is going to show this token.
    pub(crate) fn connector(&self, token: &Secret) -> Result<TlsConnector, Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(invalid)?
            .with_root_certificates(roots(self.authority.clone())?)
            .with_client_auth_cert(
                vec![CertificateDer::from(self.certificate.clone())],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())),
            )
            .map_err(invalid)?;
        config.alpn_protocols = vec![ALPN.to_vec(), format!("{KNOCK}{}", knock(token)).into_bytes()];
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
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn mint() -> Result<Self, Error> {
        let mut params = params("flame authority", always());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(invalid)?;
        let certificate = params.self_signed(&key).map_err(invalid)?.der().to_vec();
        let issuer = Issuer::new(params, key);

        let name = SanType::DnsName(PARENT_NAME.try_into().map_err(invalid)?);
        let (own, own_key) = sign(&issuer, PARENT_NAME, name, ExtendedKeyUsagePurpose::ServerAuth, always())?;
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
        Ok(Self { issuer, certificate, server: Arc::new(config) })
    }

    /// A new identity for the runner of this node name.
    pub(crate) fn identity(&self, node: &str) -> Result<Identity, Error> {
        let now = SystemTime::now();
        self.identity_for(node, now - BACKDATED..now + VALID_FOR)
    }

    pub(crate) fn identity_for(&self, node: &str, valid: Range<SystemTime>) -> Result<Identity, Error> {
        let name = SanType::URI(format!("{NODE}{node}").try_into().map_err(invalid)?);
        let (certificate, key) = sign(&self.issuer, "runner.flame", name, ExtendedKeyUsagePurpose::ClientAuth, valid)?;
        Ok(Identity { authority: self.certificate.clone(), certificate, key })
    }

    /// What the parent accepts with.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

#[cfg(test)]
impl Authority {
    /// An identity of another authority that knows this one.
    pub(crate) fn forged(&self, foreign: &Identity) -> Identity {
        Identity { authority: self.certificate.clone(), ..foreign.clone() }
    }
}

/// The node name in a certificate that was verified.
pub(crate) fn node_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_uri_names().find_map(|uri| uri.strip_prefix(NODE).map(str::to_owned))
}

/// What a runner says in the clear, before all else: that it has a token, which cannot be had from this.
///
/// Whoever sees it on its way can repeat it, and gains a place in the waiting room by it, no more.
pub(crate) fn knock(token: &Secret) -> String {
    let mut digest = build::digest(format!("{KNOCK}{}", token.0).as_bytes());
    digest.truncate(32);
    digest
}

/// The knock among the protocols that a client offers.
pub(crate) fn knock_in<'a>(mut protocols: impl Iterator<Item = &'a [u8]>) -> Option<&'a str> {
    protocols.find_map(|protocol| std::str::from_utf8(protocol).ok()?.strip_prefix(KNOCK))
}

/// A secret that nobody can guess: 256 random bits in hexadecimal.
pub(crate) fn token() -> String {
    let mut bytes = [0; 32];
    provider().secure_random.fill(&mut bytes).expect("the operating system's random numbers are available");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number that nobody can guess.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    provider().secure_random.fill(&mut bytes).expect("the operating system's random numbers are available");
    u64::from_be_bytes(bytes)
}

fn sign(
    issuer: &Issuer<'static, KeyPair>,
    common_name: &str,
    name: SanType,
    usage: ExtendedKeyUsagePurpose,
    valid: Range<SystemTime>,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let mut params = params(common_name, valid);
    params.subject_alt_names = vec![name];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().map_err(invalid)?;
    let certificate = params.signed_by(&key, issuer).map_err(invalid)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

/// Runners judge the parent's certificate by clocks that may never have been set, so it is good at any time. Its
/// authority ends with the parent's process, whose memory the key never leaves.
fn always() -> Range<SystemTime> {
    SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH + NO_END
}

fn params(common_name: &str, valid: Range<SystemTime>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = valid.start.into();
    params.not_after = valid.end.into();
    params
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
    use std::io;

    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::UnixTime;
    use tokio_rustls::rustls::time_provider::TimeProvider;

    use super::*;

    /// The outcome of a handshake, as the client sees it.
    async fn handshake(server: Arc<ServerConfig>, client: TlsConnector) -> io::Result<()> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (_, outcome) = tokio::join!(TlsAcceptor::from(server).accept(near), client.connect(parent_name(), far));
        outcome.map(drop)
    }

    #[test]
    fn an_identity_does_not_show_its_key() {
        let identity = Authority::mint().unwrap().identity("web.a").unwrap();
        assert_eq!(format!("{identity:?}"), "Identity(secret)");
    }

    #[test]
    fn a_certificate_names_its_runner() {
        // Longer than a DNS name's part may be, as node names can be.
        let name = format!("{}-01jx.b_c-01jy", "a".repeat(64));
        let identity = Authority::mint().unwrap().identity(&name).unwrap();
        assert_eq!(node_of(&CertificateDer::from(identity.certificate)), Some(name));
    }

    #[test]
    fn a_knock_is_found_and_does_not_show_the_token() {
        let token = Secret(token());
        let knock = knock(&token);
        let offered = format!("{KNOCK}{knock}");
        assert_eq!(knock_in([ALPN, offered.as_bytes()].into_iter()), Some(&*knock));
        assert_eq!(knock_in([ALPN, b"h2", b"\xff"].into_iter()), None);
        assert!(!token.0.contains(&knock) && !knock.contains(&token.0), "{knock}");
    }

    #[derive(Debug)]
    struct Clock(u64);

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
        }
    }

    #[tokio::test]
    async fn a_runner_whose_clock_is_wrong_knows_its_parent_all_the_same() {
        let authority = Authority::mint().unwrap();
        let identity = authority.identity("web.a").unwrap();
        // Never set, behind, and ahead by a century.
        for now in [0, 946_684_800, 4_900_000_000] {
            let config = ClientConfig::builder_with_details(provider(), Arc::new(Clock(now)))
                .with_protocol_versions(&[&version::TLS13])
                .unwrap()
                .with_root_certificates(roots(identity.authority.clone()).unwrap())
                .with_client_auth_cert(
                    vec![CertificateDer::from(identity.certificate.clone())],
                    PrivateKeyDer::Pkcs8(identity.key.clone().into()),
                )
                .unwrap();
            handshake(authority.server(), TlsConnector::from(Arc::new(config))).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_runner_cannot_pose_as_the_parent() {
        let authority = Authority::mint().unwrap();
        let [runner, thief] = ["web.a", "web.b"].map(|name| authority.identity(name).unwrap());
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(thief.certificate)], PrivateKeyDer::Pkcs8(thief.key.into()))
            .unwrap();
        let connector = runner.connector(&Secret(token())).unwrap();
        let err = handshake(Arc::new(config), connector).await.unwrap_err();
        assert!(err.to_string().contains("certificate"), "{err}");
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token(), token());
        assert_eq!(token().len(), 64);
    }
}
