//! What is generated works wherever it stands and whatever the user's names are.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{LocalMessage, Message, Placeable, Task, placeable, remote, task};
use serde::{Deserialize, Serialize};

use crate::wire::travelled;
use crate::{ask, pool, stop};

#[derive(LocalMessage)]
pub(crate) enum LocalMsg {}

/// Names of the prelude that mean something else.
mod shadowed {
    use flame_actors::ractor::ActorRef;
    use flame_actors::{Message, remote, task};

    use crate::cluster::GreeterMsg;

    pub(super) type Result<T> = std::result::Result<T, String>;

    #[expect(dead_code)]
    struct Error;
    #[expect(dead_code)]
    struct Option;
    #[expect(dead_code)]
    struct Vec;
    #[expect(dead_code)]
    struct Box;

    #[remote]
    pub(super) async fn checked(number: u8) -> Result<u8> {
        number.checked_add(1).ok_or_else(|| "too large".to_owned())
    }

    #[remote]
    pub(super) async fn aliased(greeter: Result<ActorRef<GreeterMsg>>) -> Result<ActorRef<GreeterMsg>> {
        task!([greeter: Result<ActorRef<GreeterMsg>>] -> Result<ActorRef<GreeterMsg>> { greeter }).await
    }

    #[derive(Message, Debug, PartialEq, Eq)]
    #[message(cluster)]
    pub(super) enum Shadowed {
        Ok(u8),
        Err { some: u8, none: Result<u8> },
        None,
    }
}

#[tokio::test]
async fn names_of_the_prelude_may_be_taken() {
    use shadowed::{Shadowed, aliased, checked};

    let pool = pool("shadowed").await;
    assert_eq!(pool.call(checked(1)).await, Ok(Ok(2)));
    assert_eq!(pool.call(checked(255)).await, Ok(Err("too large".to_owned())));
    let refused = Err("no greeter".to_owned());
    assert_eq!(pool.call(aliased(refused.clone())).await.unwrap(), refused);
    assert_eq!(travelled(Shadowed::Ok(1)), Shadowed::Ok(1));
    assert_eq!(travelled(Shadowed::None), Shadowed::None);
    let error = || Shadowed::Err { some: 1, none: Err("x".to_owned()) };
    assert_eq!(travelled(error()), error());
    pool.shutdown().await;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Thing(u8);

macro_rules! described_by_a_macro {
    ($message:ident, $function:ident, $block:ident, $ty:ty) => {
        #[derive(Message, Debug, PartialEq, Eq)]
        #[message(cluster)]
        struct $message($ty, $crate::hygiene::Thing, Option<$ty>);

        #[remote]
        async fn $function(number: $ty, thing: $crate::hygiene::Thing) -> ($ty, $crate::hygiene::Thing) {
            (number, thing)
        }

        fn $block(number: $ty) -> Task<$ty> {
            task!([number: $ty] -> $ty { number + 1 })
        }
    };
}

described_by_a_macro!(OfMacro, function_of_macro, block_of_macro, u16);

#[tokio::test]
async fn a_macro_may_write_what_is_described() {
    let pool = pool("by-macro").await;
    assert_eq!(travelled(OfMacro(1, Thing(2), None)), OfMacro(1, Thing(2), None));
    assert_eq!(pool.call(function_of_macro(3, Thing(4))).await, Ok((3, Thing(4))));
    assert_eq!(pool.call(block_of_macro(5)).await, Ok(6));
    pool.shutdown().await;
}

#[tokio::test]
async fn everything_may_stand_inside_a_function() {
    #[derive(Serialize, Deserialize)]
    struct Local(u8);

    #[derive(Message)]
    enum LocalMsg {
        Double(Local, RpcReplyPort<Local>),
    }

    struct Doubler;

    #[placeable]
    impl Actor for Doubler {
        type Msg = LocalMsg;
        type State = ();
        type Arguments = Option<Local>;

        async fn pre_start(&self, _: ActorRef<LocalMsg>, _: Option<Local>) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<LocalMsg>,
            LocalMsg::Double(Local(number), reply): LocalMsg,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(reply.send(Local(number * 2))?)
        }
    }

    #[remote]
    async fn inside(local: Local) -> u8 {
        local.0
    }

    let pool = pool("inside").await;
    assert_eq!(pool.call(inside(Local(3))).await, Ok(3));
    let child = pool.place_child(Doubler, None).await.unwrap();
    assert_eq!(ask(&child, |reply| LocalMsg::Double(Local(4), reply)).await.0, 8);
    assert_eq!(Doubler::NAME, "macros::hygiene::Doubler");
    stop(&child).await;
    pool.shutdown().await;
}

#[remote]
async fn r#match(r#type: u8) -> u8 {
    r#type
}

#[tokio::test]
async fn names_may_be_keywords() {
    let pool = pool("keywords").await;
    let task = r#match(1);
    assert!(format!("{task:?}").contains("hygiene::match "));
    assert_eq!(pool.call(task).await, Ok(1));
    pool.shutdown().await;
}

mod outer {
    pub(super) mod inner {
        use flame_actors::remote;

        #[remote]
        pub(in super::super) async fn visible_above(number: u8) -> u8 {
            number
        }
    }
}

#[tokio::test]
async fn a_function_is_as_visible_as_it_says() {
    let pool = pool("visible").await;
    assert_eq!(pool.call(outer::inner::visible_above(1)).await, Ok(1));
    pool.shutdown().await;
}
