//! Why a connection is refused: one line in the log, and what the other side is told.

use std::sync::Arc;

use tokio_rustls::rustls::{self, CertificateError};

use crate::Error;
use crate::node::join::{HANDSHAKE_DEADLINE, PROTOCOL};

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it was the oldest of the address with the most connections that have not said who they are")]
    Crowded,
    #[error("it has not said who it is within {HANDSHAKE_DEADLINE:?}")]
    Silent,
    #[error("it closed the connection before it had said who it is")]
    Left,
    #[error("it does not speak TLS 1.3: {0}")]
    NoTls(String),
    #[error("it shows no certificate of a runner")]
    NoCertificate,
    #[error("its certificate is of a foreign authority: {0}")]
    ForeignAuthority(String),
    #[error("its certificate has expired: {0}")]
    Expired(String),
    #[error("its certificate is not valid yet: {0}")]
    NotYetValid(String),
    #[error("its certificate is not good for this: {0}")]
    BadCertificate(String),
    #[error(
        "it shows the certificate of runner {node}, whose token is used or expired: that has joined or was given up"
    )]
    NotAwaited { node: String },
    #[error("it said no hello: {0}")]
    NoHello(String),
    #[error("runner {node} was refused: it speaks protocol {theirs}, this node speaks {PROTOCOL}")]
    Protocol { node: String, theirs: u32 },
    #[error("runner {node} was refused: its join token is unknown, used or expired")]
    Token { node: String },
    #[error("runner {node} was refused: it shows the join token of runner {token_of}, which is void now")]
    AnotherRunner { node: String, token_of: Arc<str> },
    #[error("runner {node} was refused: it calls itself by another name than its certificate; its token is void now")]
    Name { node: String },
    #[error("runner {node} was refused: its token is for another purpose, and void now")]
    Purpose { node: String },
    #[error("{0}")]
    Build(Error),
    #[error("runner {node} came too late")]
    Late { node: String },
    #[error("{0}")]
    Session(String),
}

impl Refusal {
    /// One word, by which lines are counted and searched.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Silent => "silent",
            Self::Left => "left",
            Self::NoTls(_) => "no-tls",
            Self::NoCertificate => "no-certificate",
            Self::ForeignAuthority(_) => "foreign-authority",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not-yet-valid",
            Self::BadCertificate(_) => "bad-certificate",
            Self::NotAwaited { .. } => "not-awaited",
            Self::NoHello(_) => "no-hello",
            Self::Protocol { .. } => "protocol",
            Self::Token { .. } => "token",
            Self::AnotherRunner { .. } => "another-runner",
            Self::Name { .. } => "name",
            Self::Purpose { .. } => "purpose",
            Self::Build(_) => "build",
            Self::Late { .. } => "late",
            Self::Session(_) => "session",
        }
    }

    /// What the other side is told, once it has proved to be a runner of this node.
    pub(super) fn answer(&self) -> Option<Error> {
        match self {
            Self::Build(err) => Some(err.clone()),
            Self::AnotherRunner { node, .. } => {
                Some(Error::Join(format!("runner {node} was refused: its join token was made for another identity")))
            }
            Self::NotAwaited { node } => {
                Some(Error::Join(format!("runner {node} was refused: its join token is used or expired")))
            }
            Self::Protocol { .. } | Self::Token { .. } | Self::Name { .. } | Self::Purpose { .. } => {
                Some(Error::Join(self.to_string()))
            }
            _ => None,
        }
    }

    /// What an error of the hello says.
    pub(super) fn of_hello(err: Error) -> Self {
        match err {
            Error::Join(why) => Self::NoHello(why),
            other => Self::NoHello(other.to_string()),
        }
    }

    /// What an error of the handshake says.
    pub(super) fn of_tls(err: std::io::Error) -> Self {
        use rustls::Error as Tls;
        match err.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
            // Whatever broke the connection, it was not a mistake in the handshake.
            None => Self::Left,
            Some(Tls::NoCertificatesPresented) => Self::NoCertificate,
            Some(Tls::InvalidCertificate(why)) => {
                let text = why.to_string();
                match why {
                    CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired(text),
                    CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                        Self::NotYetValid(text)
                    }
                    CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::ForeignAuthority(text),
                    _ => Self::BadCertificate(text),
                }
            }
            Some(Tls::AlertReceived(alert)) => Self::NoTls(format!("it gave up with the alert {alert:?}")),
            Some(other) => Self::NoTls(other.to_string()),
        }
    }
}
