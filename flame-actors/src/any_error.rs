//! An error of any type, as it travels: the texts of its chain.

use std::error::Error as StdError;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An error of any type in the form that travels: its text and those of its causes.
///
/// A `#[remote]` function or `task!` block that returns an `anyhow::Result` needs no mention of it: its error becomes
/// one of these on the way and an `anyhow::Error` again. Write it where nothing is converted: in messages, and in types
/// of your own. It is made from an `anyhow::Error`, or from any error by [`AnyError::new`], and `?` makes an
/// `anyhow::Error` of it.
///
/// What travels is the chain, which [`source`](StdError::source) walks and `{:#}` prints on one line. The types of the
/// errors and their backtraces stay behind: nothing can be downcast on the other side.
///
/// ```
/// use anyhow::Context as _;
/// use flame_actors::{AnyError, InProcess, Node, Pool, remote};
///
/// #[remote]
/// async fn port(text: String) -> anyhow::Result<u16> {
///     text.parse().with_context(|| format!("{text:?} is no port"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("ports").backend(InProcess::new()).start(&node).await?;
/// assert_eq!(pool.call(port("80".to_owned())).await??, 80);
///
/// let err = pool.call(port("http".to_owned())).await?.unwrap_err();
/// assert_eq!(format!("{err:#}"), "\"http\" is no port: invalid digit found in string");
/// assert_eq!(AnyError::from(err).to_string(), "\"http\" is no port");
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AnyError {
    text: String,
    // Not boxed: a chain can be as long as its sender likes, and is not gone through by recursion.
    cause: Option<Arc<AnyError>>,
}

impl AnyError {
    /// Keeps what the error and its causes say.
    pub fn new(error: &(dyn StdError + 'static)) -> Self {
        Self::of_texts(anyhow::Chain::new(error).map(ToString::to_string).collect())
    }

    /// The text, then that of its cause, and so on.
    fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self), |error| error.cause.as_deref()).map(|error| error.text.as_str())
    }

    fn of_texts(texts: Vec<String>) -> Self {
        let mut texts = texts.into_iter().rev();
        let last = Self { text: texts.next().unwrap_or_else(|| "an error without text".to_owned()), cause: None };
        texts.fold(last, |cause, text| Self { text, cause: Some(Arc::new(cause)) })
    }
}

impl PartialEq for AnyError {
    fn eq(&self, other: &Self) -> bool {
        self.texts().eq(other.texts())
    }
}

impl Eq for AnyError {}

impl Drop for AnyError {
    fn drop(&mut self) {
        let mut next = self.cause.take();
        while let Some(mut error) = next.and_then(Arc::into_inner) {
            next = error.cause.take();
        }
    }
}

impl From<anyhow::Error> for AnyError {
    fn from(error: anyhow::Error) -> Self {
        Self::new(&*error)
    }
}

impl StdError for AnyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl std::fmt::Display for AnyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        if f.alternate() {
            for cause in self.texts().skip(1) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for AnyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut tuple = f.debug_tuple("AnyError");
        for text in self.texts() {
            tuple.field(&text);
        }
        tuple.finish()
    }
}

impl Serialize for AnyError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.texts().collect::<Vec<_>>())
    }
}

impl<'de> Deserialize<'de> for AnyError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::of_texts)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::{Context as _, anyhow};

    use super::AnyError;
    use crate::codec::{from_bytes, to_bytes};

    fn travelled(error: &AnyError) -> AnyError {
        from_bytes(&to_bytes(error).unwrap()).unwrap()
    }

    fn failed() -> anyhow::Error {
        let inner = Err::<(), _>(io::Error::other("no disk"));
        inner.context("it was not saved").context("it goes on").unwrap_err()
    }

    #[test]
    fn an_error_says_the_same_before_and_after_it_travelled() {
        let before = failed();
        let after = anyhow::Error::from(travelled(&AnyError::from(failed())));
        assert_eq!(format!("{after:#}"), "it goes on: it was not saved: no disk");
        assert_eq!(format!("{after:#}"), format!("{before:#}"));
        assert_eq!(format!("{after}"), format!("{before}"));
        let chain = |error: &anyhow::Error| error.chain().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(chain(&after), chain(&before));
    }

    #[test]
    fn by_itself_it_prints_the_chain_where_it_is_asked_to() {
        let error = AnyError::from(failed());
        assert_eq!(format!("{error}"), "it goes on");
        assert_eq!(format!("{error:#}"), "it goes on: it was not saved: no disk");
        assert_eq!(format!("{error:?}"), r#"AnyError("it goes on", "it was not saved", "no disk")"#);
        assert_eq!(AnyError::new(&io::Error::other("no disk")).to_string(), "no disk");
    }

    #[test]
    fn a_second_journey_adds_nothing() {
        let once = travelled(&AnyError::from(failed()));
        assert_eq!(travelled(&AnyError::from(anyhow::Error::from(once.clone()))), once);
        let further = AnyError::from(anyhow::Error::from(once).context("again"));
        assert_eq!(format!("{further:#}"), "again: it goes on: it was not saved: no disk");
    }

    /// Deeper than the codec goes into nested values, and than a thread's stack would.
    #[test]
    fn a_chain_of_any_length_travels() {
        let bytes = to_bytes(&vec!["x".to_owned(); 200_000]).unwrap();
        let error: AnyError = from_bytes(&bytes).unwrap();
        assert_eq!(error.texts().count(), 200_000);
        assert_eq!(travelled(&error), error.clone());
        assert_eq!(format!("{error:#}").len(), 3 * 200_000 - 2);
    }

    #[test]
    fn no_text_at_all_is_an_error_all_the_same() {
        let error: AnyError = from_bytes(&to_bytes(&Vec::<String>::new()).unwrap()).unwrap();
        assert_eq!(error.to_string(), "an error without text");
        assert_eq!(AnyError::from(anyhow!("")).to_string(), "");
    }
}
