//! What parent and runner say to each other before a connection is used.
//!
//! A runner dials, both sides prove themselves by TLS, then the runner says [`Hello`] and the parent answers with a
//! [`Welcome`] or an error. Each is `u32 length · MessagePack`, big-endian, 64 KiB at the most.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tls::Identity;
use crate::{Error, codec, registry};

/// The version of everything that is said after the TLS handshake.
pub(crate) const PROTOCOL: u32 = 1;

/// From the first byte of a connection to the end of its hello.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

const MAX_BYTES: usize = 64 * 1024;

/// What a booted process needs to become a runner: `FLAME_PARENT` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invitation {
    /// Where the parent listens, as `host:port`.
    pub(crate) address: String,
    /// The parent's node name.
    pub(crate) parent: Arc<str>,
    /// The runner's node name.
    pub(crate) node: Arc<str>,
    /// The pool that it is for.
    pub(crate) pool: String,
    pub(crate) token: Secret,
    pub(crate) identity: Identity,
}

/// A text that no log and no `Debug` shows.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a connection is for. Its token is good for this purpose only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Link,
    Session,
    Stream,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) purpose: Purpose,
    pub(crate) token: Secret,
    pub(crate) node: Arc<str>,
    pub(crate) build: Build,
    /// The runner's process id on its machine.
    pub(crate) process: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// For the second connection.
    pub(crate) session_token: Secret,
    /// What ractor_cluster's own authentication compares, inside TLS.
    pub(crate) cookie: Secret,
    pub(crate) lease: Duration,
    pub(crate) shutdown_timeout: Duration,
}

/// What must be the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    id: String,
    tasks: String,
}

impl Build {
    pub(crate) fn of_this_process(id: &str) -> Self {
        Self { id: id.to_owned(), tasks: registry::digest().to_owned() }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn check(&self, runner: &Self) -> Result<(), Error> {
        if self == runner {
            return Ok(());
        }
        Err(Error::BuildMismatch { parent: self.to_string(), runner: runner.to_string() })
    }
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "build {} with tasks {:.12}", self.id, self.tasks)
    }
}

/// Writes one value.
pub(crate) async fn say<T: Serialize + DeserializeOwned, S: AsyncWrite + Unpin>(
    stream: &mut S,
    value: &T,
) -> Result<(), Error> {
    let bytes = codec::to_bytes(value)?;
    let said = async {
        stream.write_u32(bytes.len() as u32).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    said.await.map_err(|err| Error::Join(format!("the connection broke: {err}")))
}

/// Reads one value.
pub(crate) async fn hear<T: DeserializeOwned, S: AsyncRead + Unpin>(stream: &mut S) -> Result<T, Error> {
    let broken = |err: std::io::Error| Error::Join(format!("the connection broke: {err}"));
    let len = stream.read_u32().await.map_err(broken)? as usize;
    if len > MAX_BYTES {
        return Err(Error::Join(format!("{len} bytes where {MAX_BYTES} are the most")));
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.map_err(broken)?;
    // Without the decoder's reason, which quotes what it read, and that may be a token.
    codec::from_bytes(&bytes).map_err(|_| Error::Join("what came is not what was expected".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_is_heard() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let build = Build { id: "a".into(), tasks: "b".into() };
        let (said, heard) = tokio::join!(say(&mut near, &build), hear::<Build, _>(&mut far));
        said.unwrap();
        assert_eq!(heard.unwrap(), build);
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused() {
        let mut bytes = &u32::MAX.to_be_bytes()[..];
        let err = hear::<Build, _>(&mut bytes).await.unwrap_err();
        assert!(err.to_string().contains("65536 are the most"), "{err}");
    }

    #[tokio::test]
    async fn what_is_said_wrongly_is_not_repeated() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        let token = "a token".to_owned();
        let (said, heard) = tokio::join!(say(&mut near, &token), hear::<Build, _>(&mut far));
        said.unwrap();
        let err = heard.unwrap_err().to_string();
        assert!(err.contains("not what was expected") && !err.contains("a token"), "{err}");
    }

    #[test]
    fn nothing_that_is_said_shows_a_secret() {
        let secret = || Secret("hush".to_owned());
        let build = Build { id: "a".into(), tasks: "b".into() };
        let (node, lease) = (Arc::<str>::from("web.a"), Duration::ZERO);
        let hello =
            Hello { protocol: 1, purpose: Purpose::Link, token: secret(), node: node.clone(), build, process: 1 };
        let welcome = Welcome { session_token: secret(), cookie: secret(), lease, shutdown_timeout: lease };
        let identity = crate::node::tls::Authority::mint().unwrap().identity("web.a").unwrap();
        let (address, parent, pool) = (String::new(), "web".into(), String::new());
        let invitation = Invitation { address, parent, node, pool, token: secret(), identity };
        let shown = format!("{hello:?} {welcome:?} {invitation:?} {hello:#?} {welcome:#?} {invitation:#?}");
        assert!(shown.contains("web.a") && !shown.contains("hush"), "{shown}");
        assert_eq!(shown.matches("Identity(secret)").count(), 2, "{shown}");
    }

    #[test]
    fn a_mismatch_names_both_builds() {
        let ours = Build { id: "aaa".into(), tasks: "t".into() };
        let theirs = Build { id: "bbb".into(), tasks: "t".into() };
        let text = ours.check(&theirs).unwrap_err().to_string();
        assert!(text.contains("aaa") && text.contains("bbb"), "{text}");
    }
}
