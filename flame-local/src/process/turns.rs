//! Whose turn it is to boot: as many at a time as the cores can join.
//!
//! A process that starts computes: it loads the executable, and both sides do a TLS handshake. A thousand at once get
//! so little of a core each that their deadlines pass; in turn all of them come up, and sooner.

use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use std::time::Duration;

use flame_actors::{Boot, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// So many boots at a time for each core, unless set.
const PER_CORE: usize = 2;
/// A boot that takes longer mostly waits for something else than a core, and gives its turn on, unless a number was set.
const LONGEST_TURN: Duration = Duration::from_secs(3);

/// The cores are those of all pools, so their turns are too.
static OF_THIS_PROCESS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(cores * PER_CORE))
});

/// How many boots there may be at a time.
#[derive(Clone, Debug, Default)]
pub(super) enum Turns {
    /// As many as the cores can join, those of other backends in this process included.
    #[default]
    Cores,
    /// As many as were set, for all clones of one backend. `None` stands for none.
    Set(Option<Arc<Semaphore>>),
}

impl Turns {
    pub(super) fn set(boots: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(boots.min(Semaphore::MAX_PERMITS)));
        Self::Set((boots > 0).then(semaphore))
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Set(None) => {
                let reason = "with 0 no runner would ever boot".to_owned();
                Err(Error::Config { option: "boots_at_a_time".to_owned(), reason })
            }
            _ => Ok(()),
        }
    }

    /// Waits for the turn of a boot, which has it until it has ended.
    pub(super) async fn take(&self, boot: &Boot) {
        let (turns, longest) = match self {
            Self::Cores => (Some(&*OF_THIS_PROCESS), Some(LONGEST_TURN)),
            Self::Set(turns) => (turns.as_ref(), None),
        };
        let Some(turns) = turns else { return };
        let turn = boot.untimed(Arc::clone(turns).acquire_owned()).await.expect("the semaphore is never closed");
        match longest {
            None => boot.keep(turn),
            Some(longest) => boot.keep(passing_on(turn, longest)),
        }
    }
}

/// Gives the turn on when what is returned is dropped, or after this time.
fn passing_on(turn: OwnedSemaphorePermit, longest: Duration) -> oneshot::Sender<()> {
    let (ended, has_ended) = oneshot::channel();
    tokio::spawn(async move {
        let _ = tokio::time::timeout(longest, has_ended).await;
        drop(turn);
    });
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> (Arc<Semaphore>, OwnedSemaphorePermit) {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).try_acquire_owned().unwrap();
        (turns, turn)
    }

    #[tokio::test(start_paused = true)]
    async fn a_boot_that_has_ended_gives_its_turn_on() {
        let (turns, turn) = one();
        let kept = passing_on(turn, LONGEST_TURN);
        tokio::time::sleep(LONGEST_TURN / 2).await;
        assert_eq!(turns.available_permits(), 0);
        drop(kept);
        drop(tokio::time::timeout(Duration::from_millis(1), turns.acquire()).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_boot_that_waits_for_long_gives_its_turn_on() {
        let (turns, turn) = one();
        let _kept = passing_on(turn, LONGEST_TURN);
        tokio::time::sleep(LONGEST_TURN - Duration::from_millis(10)).await;
        assert_eq!(turns.available_permits(), 0);
        drop(tokio::time::timeout(Duration::from_millis(20), turns.acquire()).await.unwrap());
    }

    #[test]
    fn no_turns_at_all_are_an_error_and_any_number_is_none() {
        assert!(matches!(Turns::set(0).check(), Err(Error::Config { option, .. }) if option == "boots_at_a_time"));
        Turns::set(usize::MAX).check().unwrap();
        Turns::default().check().unwrap();
    }
}
