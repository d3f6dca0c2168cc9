//! `openssl s_client` with every kind of certificate but the right one.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use flame_tests::{eventually, trials, until};
use libtest_mimic::Trial;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::tls::{Invitation, framed};
use crate::watched::Watched;

pub(crate) fn trials() -> Vec<Trial> {
    trials![every_wrong_certificate_is_refused_with_one_line_that_says_why]
}

/// A certificate and its key, as files.
struct Pem {
    dir: TempDir,
}

impl Pem {
    fn new(certificate: &[u8], key: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (file, label, der) in [("certificate", "CERTIFICATE", certificate), ("key", "PRIVATE KEY", key)] {
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
            std::fs::write(dir.path().join(file), pem).unwrap();
        }
        Self { dir }
    }

    /// One of an authority that the parent does not know; all else is right, but for the dates.
    fn foreign(valid: std::ops::Range<SystemTime>) -> Self {
        let mut authority = CertificateParams::new(vec!["flame authority".to_owned()]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(vec!["runner.flame".to_owned()]).unwrap();
        (own.not_before, own.not_after) = (valid.start.into(), valid.end.into());
        Self::new(own.signed_by(&key, &issuer).unwrap().der(), &key.serialize_der())
    }

    fn of(invitation: &Invitation) -> Self {
        let (certificate, key) = invitation.certificate_and_key();
        Self::new(certificate, key)
    }

    fn arguments(&self) -> [PathBuf; 4] {
        let file = |name: &str| self.dir.path().join(name);
        ["-cert".into(), file("certificate"), "-key".into(), file("key")]
    }
}

/// Connects, says this and waits until the other side hangs up.
async fn s_client(address: &str, certificate: Option<&Pem>, say: &[u8]) -> Output {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address, "-tls1_3", "-quiet", "-ign_eof"]);
    command.args(certificate.map(Pem::arguments).into_iter().flatten());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut client = command.spawn().expect("openssl is installed: apt-get install openssl, or make need-openssl");
    let mut stdin = client.stdin.take().unwrap();
    // It may have been refused before it reads this.
    let _ = stdin.write_all(say).await;
    drop(stdin);
    eventually("the end of openssl s_client", client.wait_with_output()).await.unwrap()
}

/// A client that is to be refused.
struct Case {
    certificate: Option<Pem>,
    say: Vec<u8>,
    /// What its line in the log has.
    line: Vec<String>,
    /// What openssl says then.
    answer: &'static str,
}

impl Case {
    fn new(certificate: Option<Pem>, line: &[&str], answer: &'static str) -> Self {
        let line = line.iter().map(|part| (*part).to_owned()).collect();
        Self { certificate, say: Vec::new(), line, answer }
    }
}

async fn every_wrong_certificate_is_refused_with_one_line_that_says_why() {
    let mut parent = Watched::start().await;
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let [thief, victim] = &parent.awaited;
    // That a certificate is refused when nothing but its dates is wrong is a unit test of the listener: nobody but the
    // parent can make one.
    let cases = [
        Case::new(None, &["reason=\"no-certificate\""], "certificate required"),
        Case::new(Some(Pem::foreign(now - hour..now + hour)), &["reason=\"foreign-authority\""], "unknown ca"),
        Case::new(Some(Pem::foreign(now - 2 * hour..now - hour)), &["reason=\"expired\""], "certificate expired"),
        Case::new(Some(Pem::of(&parent.joined)), &["reason=\"not-awaited\"", &parent.joined.node], "refused"),
        Case {
            say: framed(&victim.hello()),
            ..Case::new(Some(Pem::of(thief)), &["reason=\"another-runner\"", &thief.node, &victim.node], "refused")
        },
    ];
    for (n, case) in cases.iter().enumerate() {
        let output = s_client(parent.address(), case.certificate.as_ref(), &case.say).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(case.answer), "openssl does not say \"{}\": {said}", case.answer);
        until("a line about it", || parent.refusals().len() > n).await;
        let line = &parent.refusals()[n];
        for part in &case.line {
            assert!(line.contains(part), "\"{part}\" is not in: {line}");
        }
        assert!(line.contains(" WARN ") && line.contains(" from=127.0.0.1:") && line.contains(" why="), "{line}");
    }
    let done = parent.stop().await;
    assert!(done.calls > 0, "{done:?}");
    assert_eq!(parent.refusals().len(), cases.len(), "{:#?}", parent.refusals());
}
