//! Errors of `anyhow` in signatures: they travel as their texts, however they are written.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{ActorAddr, AnyError, Message, placeable, remote, task};

use crate::{ask, pool, stop};

/// What an error says in all.
fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

fn failed() -> anyhow::Error {
    anyhow::anyhow!("no disk").context("it was not saved")
}

const CHAIN: &str = "it was not saved: no disk";

/// Nothing is imported here.
mod by_path {
    #[flame_actors::remote]
    pub(super) async fn short(fail: bool) -> anyhow::Result<u8> {
        if fail { Err(super::failed()) } else { Ok(1) }
    }

    #[flame_actors::remote]
    pub(super) async fn long(fail: bool) -> ::std::result::Result<u8, ::anyhow::Error> {
        short(fail).await
    }
}

/// No name of `anyhow` is in sight of the macro.
mod by_alias {
    use std::result::Result as Either;

    use anyhow::{Error as Trouble, Result};
    use flame_actors::{remote, task};

    pub(super) type Fallible = Result<u8>;
    type OfMine<T> = Either<T, Trouble>;

    #[remote]
    pub(super) async fn imported(fail: bool) -> Result<u8> {
        super::by_path::short(fail).await
    }

    #[remote]
    pub(super) async fn two_arguments(fail: bool) -> Result<u8, Trouble> {
        super::by_path::short(fail).await
    }

    #[remote]
    pub(super) async fn of_mine(fail: bool) -> OfMine<u8> {
        super::by_path::short(fail).await
    }

    #[remote]
    pub(super) async fn without_arguments(fail: bool) -> Fallible {
        super::by_path::short(fail).await
    }

    pub(super) fn block(fail: bool) -> flame_actors::Task<Fallible> {
        task!([fail: bool] -> Result<u8> { super::by_path::short(fail).await })
    }
}

#[tokio::test]
async fn an_error_of_anyhow_travels_however_it_is_written() {
    let pool = pool("anyhow").await;
    let tasks = |fail| {
        [
            by_path::short(fail),
            by_path::long(fail),
            by_alias::imported(fail),
            by_alias::two_arguments(fail),
            by_alias::of_mine(fail),
            by_alias::without_arguments(fail),
            by_alias::block(fail),
        ]
    };
    for (good, bad) in tasks(false).into_iter().zip(tasks(true)) {
        let name = format!("{good:?}");
        assert_eq!(pool.call(good).await.unwrap().unwrap(), 1, "{name}");
        assert_eq!(chain(&pool.call(bad).await.unwrap().unwrap_err()), CHAIN, "{name}");
    }
    pool.shutdown().await;
}

#[tokio::test]
async fn question_marks_are_enough_for_both_errors() {
    async fn all(pool: &flame_actors::Pool, fail: bool) -> anyhow::Result<u8> {
        let number = pool.call(by_path::short(fail)).await??;
        Ok(number)
    }
    let pool = pool("question-marks").await;
    assert_eq!(all(&pool, false).await.unwrap(), 1);
    assert_eq!(chain(&all(&pool, true).await.unwrap_err()), CHAIN);
    pool.shutdown().await;
    let closed = all(&pool, false).await.unwrap_err();
    assert!(closed.downcast_ref::<flame_actors::Error>().is_some(), "{closed}");
}

#[derive(Debug, thiserror::Error)]
#[error("a type of my own")]
struct Mine;

#[remote]
async fn mine() -> anyhow::Result<()> {
    Err(Mine.into())
}

#[tokio::test]
async fn awaited_here_it_is_the_error_itself() {
    assert!(mine().await.unwrap_err().is::<Mine>());
    let pool = pool("here").await;
    let travelled = pool.call(mine()).await.unwrap().unwrap_err();
    assert!(!travelled.is::<Mine>() && travelled.is::<AnyError>());
    assert_eq!(chain(&travelled), "a type of my own");
    pool.shutdown().await;
}

#[derive(Message)]
enum EchoMsg {
    Try(u8, RpcReplyPort<Result<u8, AnyError>>),
}

struct Echo;

#[placeable]
impl Actor for Echo {
    type Msg = EchoMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EchoMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<EchoMsg>,
        EchoMsg::Try(number, reply): EchoMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(if number == 0 { Err(failed().into()) } else { Ok(number) })?)
    }
}

#[tokio::test]
async fn a_reply_has_it_by_its_name() {
    let pool = pool("any-error-reply").await;
    let echo = pool.place_child(Echo, ()).await.unwrap();
    assert_eq!(ask(&echo, |reply| EchoMsg::Try(1, reply)).await, Ok(1));
    let error = ask(&echo, |reply| EchoMsg::Try(0, reply)).await.unwrap_err();
    assert_eq!(chain(&error.into()), CHAIN);
    stop(&echo).await;
    pool.shutdown().await;
}

type Many = (Option<anyhow::Result<u8>>, Vec<anyhow::Result<Option<u8>>>, anyhow::Error);

#[remote]
#[allow(clippy::type_complexity, reason = "that is what is tried")]
async fn everywhere(
    one: Option<anyhow::Result<u8>>,
    many: Vec<anyhow::Result<Option<u8>>>,
    error: anyhow::Error,
) -> (Option<anyhow::Result<u8>>, Vec<anyhow::Result<Option<u8>>>, anyhow::Error) {
    (one, many, error)
}

#[tokio::test]
async fn it_may_stand_wherever_a_reference_may() {
    let many = || -> Many { (Some(Err(failed())), vec![Ok(Some(1)), Err(failed()), Ok(None)], failed()) };
    let pool = pool("everywhere").await;
    let (one, several, error) = many();
    let back = pool.call(everywhere(one, several, error)).await.unwrap();
    assert_eq!(format!("{back:#?}").matches("no disk").count(), 3);
    assert_eq!((chain(&back.2), chain(&back.0.unwrap().unwrap_err())), (CHAIN.to_owned(), CHAIN.to_owned()));
    assert!(matches!(&back.1[..], [Ok(Some(1)), Err(_), Ok(None)]));
    pool.shutdown().await;
}

/// With a reference in it, which is converted too.
#[remote]
async fn the_same(echo: anyhow::Result<ActorRef<EchoMsg>>) -> Result<anyhow::Result<ActorRef<EchoMsg>>, String> {
    Ok(echo)
}

#[tokio::test]
async fn a_reference_may_stand_beside_it() {
    let pool = pool("beside").await;
    let echo = pool.place_child(Echo, ()).await.unwrap();
    let back = pool.call(the_same(Ok(echo.clone()))).await.unwrap().unwrap().unwrap();
    assert_eq!(ActorAddr::from(back), ActorAddr::from(echo.clone()));
    let error = pool.call(the_same(Err(failed()))).await.unwrap().unwrap().unwrap_err();
    assert_eq!(chain(&error), CHAIN);
    stop(&echo).await;
    pool.shutdown().await;
}

/// A type of the user's own that has the name of the prelude's and one argument.
mod own {
    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub(super) struct Result<T>(pub(super) T);

    #[flame_actors::remote]
    pub(super) async fn wrapped(number: u8) -> Result<u8> {
        Result(number)
    }
}

#[tokio::test]
async fn a_result_that_is_none_goes_as_it_is() {
    let pool = pool("own-result").await;
    assert_eq!(pool.call(own::wrapped(3)).await, Ok(own::Result(3)));
    pool.shutdown().await;
}

#[tokio::test]
async fn a_panic_while_an_error_is_put_into_words_is_the_tasks() {
    #[derive(Debug)]
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words")
        }
    }
    impl std::error::Error for Mute {}

    let pool = pool("mute").await;
    let answer = pool.call(task!([] -> anyhow::Result<()> { Err(Mute.into()) })).await;
    assert!(matches!(&answer, Err(flame_actors::Error::Panicked(text)) if text == "no words"), "{answer:?}");
    pool.shutdown().await;
}
