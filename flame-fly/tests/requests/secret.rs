//! The token is where it has to be, and nowhere else.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::stub::{Answer, Stub, TOKEN, first_failure};

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_token_is_sent_and_shown_nowhere() {
    let log = Log::default();
    // For all threads: that of the node, too.
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    let repeats = format!("bad token {TOKEN}");
    let stub = Stub::that_says([
        Answer::Hangs,
        Answer::status(500, &repeats),
        Answer::Babbles(429, json!(repeats), Vec::new()),
        Answer::status(401, &repeats),
    ])
    .await;
    let backend = stub.backend().env("PASSWORD", "env-secret");
    let shown = format!("{backend:?} {backend:#?}");
    assert!(shown.contains("thumbs") && shown.contains("PASSWORD"), "{shown}");
    let pool = stub.pool(backend, Duration::from_secs(10)).await;
    let error = first_failure(&pool).await;
    let shown = format!("{shown} {error} {error:?} {pool:?}");
    pool.shutdown().await;
    assert!(shown.contains("bad token [token]"), "{shown}");
    let logged = String::from_utf8_lossy(&log.0.lock()).into_owned();
    assert!(logged.contains("a request to Fly is repeated"), "nothing was logged");
    for secret in [TOKEN, "fm2_hidden", "env-secret"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
        let line = logged.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was logged");
    }
    assert!(stub.creates().iter().all(|seen| seen.authorization == format!("Bearer {TOKEN}")));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Stub::start().await;
    let to = vec![("location", elsewhere.host().to_owned())];
    let stub = Stub::start().await;
    *stub.api.always.lock() = Some(Answer::Babbles(307, json!({}), to));
    let pool = stub.pool(stub.backend(), Duration::from_secs(10)).await;
    let reason = first_failure(&pool).await.to_string();
    assert!(reason.contains("307"), "{reason}");
    pool.shutdown().await;
    assert!(elsewhere.api.seen.lock().is_empty());
}
