//! The macros of `flame-actors`. Use them through that crate, which re-exports them.
//!
//! | macro | what it describes | file |
//! | --- | --- | --- |
//! | [`#[remote]`](macro@remote) | an `async fn`, or a `fn` that yields, that a pool can run on a runner | `remote.rs` |
//! | [`task!`] | the same for a block in the middle of a function | `task.rs` |
//! | [`#[placeable]`](macro@placeable) | an actor that a pool can start on a runner | `placeable.rs` |
//! | [`#[derive(Message)]`](macro@Message) | a message that reaches actors on other nodes | `message.rs` |
//! | [`#[derive(LocalMessage)]`](macro@LocalMessage) | a message that stays in its process | `message.rs` |
//!
//! `travel.rs` is what they share: how a type looks on the wire, where an `ActorRef<M>` is an address.
//!
//! What is generated names `::flame_actors::…`, `::core` and `::std` only, and is free of warnings under
//! `#![deny(warnings, missing_docs, unsafe_code)]`. Errors are reported where the user wrote what is wrong, several at
//! once, each with what to write instead.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;

mod message;
mod placeable;
mod remote;
mod task;
mod travel;

use proc_macro::TokenStream;

/// Makes an `async fn`, or a `fn` that yields, one that a pool can run on a runner.
///
/// The body stays as it was. Calling the function returns a `Task<R>` instead of a future: awaited, it runs here; given
/// to `Pool::call` or `Pool::cast`, it runs on a runner.
///
/// ```
/// # use flame_actors::{AnyError, Pool, remote};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Image;
/// # impl Image { fn scaled(self, _: u32, _: u32) -> Result<Image, AnyError> { Ok(self) } }
/// #[remote]
/// async fn resize(image: Image, (width, height): (u32, u32)) -> Result<Image, AnyError> {
///     image.scaled(width, height)
/// }
///
/// # async fn example(pool: Pool, image: Image) -> anyhow::Result<()> {
/// let small = resize(image.clone(), (64, 64)).await?; // here
/// let small = pool.call(resize(image, (64, 64))).await??; // on a runner
/// # Ok(())
/// # }
/// ```
///
/// A function that yields is a plain `fn` that returns `impl Stream<Item = T>`. Calling it returns a `Yields<T>`: polled
/// as the stream that it is, it runs here; given to `Pool::stream`, it runs on a runner, and its items come as they are
/// made. Its body returns any stream that is `Send` and owns what it needs: one of `futures_util::stream`, of the crate
/// `async-stream`, of a channel. What is to be awaited first is awaited in the stream.
///
/// ```text
/// #[remote]
/// fn frames(video: Video, every: u32) -> impl Stream<Item = Result<Image, MediaError>> {
///     async_stream::try_stream! {
///         let mut ffmpeg = Ffmpeg::open(video).await?;
///         while let Some(frame) = ffmpeg.next(every).await? { yield frame; }
///     }
/// }
///
/// let mut images = frames(video, 5);                       // here: a stream of results
/// let mut images = pool.stream(frames(video, 5));          // on a runner: the same, each in a result of ours
/// ```
///
/// # What travels
///
/// Arguments, result and items are owned values that implement serde's `Serialize` and `DeserializeOwned` and are `Send`. An
/// `ActorRef<M>` travels as an argument, result or item of its own and inside `Option`, `Vec`, `Box`, tuples and `Result`;
/// elsewhere use `ActorAddr<M>`. An `anyhow::Error` travels in the same places, by whatever alias, as the texts of its
/// chain: `-> anyhow::Result<T>` just works. Elsewhere use `AnyError`. Generic functions, `self`, references and `impl Trait` are refused, as are more than
/// 16 arguments. In an `impl` block the function takes no `self` and does not say `Self`.
///
/// # What is generated
///
/// - `fn resize(..) -> ::flame_actors::Task<R>`, or `-> ::flame_actors::Yields<T>` for one that yields, with the same
///   name, visibility, documentation and arguments;
/// - in it, out of sight, the function as it was, with its other attributes (`#[tracing::instrument]` works);
/// - an entry in the table of tasks, named `module::path::resize`.
#[proc_macro_attribute]
pub fn remote(options: TokenStream, item: TokenStream) -> TokenStream {
    remote::expand(options.into(), item.into()).into()
}

/// Describes a block as a task, with the variables that it takes along.
///
/// ```
/// # use flame_actors::{Error, Pool, task};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Video;
/// # impl Video { async fn frames(&self) -> usize { 0 } }
/// # async fn warm_up() {}
/// # async fn example(pool: Pool, video: Video, start: u64, numbers: Vec<u64>) -> Result<(), Error> {
/// let frames = pool.call(task!([video: Video] -> usize { video.frames().await })).await?;
/// let total = task!([mut sum: u64 = start, numbers: Vec<u64>] -> u64 {
///     for n in numbers {
///         sum += n;
///     }
///     sum
/// });
/// let total = pool.call(total).await?;
/// pool.cast(task!([] { warm_up().await })).await?;
/// # Ok(())
/// # }
/// ```
///
/// - `[a: A]` moves the variable `a` into the task, `[mut a: A]` as a mutable one, `[a: A = expression]` moves the
///   value of the expression. The types are written out, because the runner decodes the values by them.
/// - `-> R` is the type of the result; without it the result is `()`.
/// - The block is asynchronous. `return` and `?` leave the block, not the function around it.
/// - A variable that is used and not listed is a compile error.
///
/// What travels is the same as for [`#[remote]`](macro@remote), and the same is generated, in an expression of type
/// `::flame_actors::Task<R>`; in the table of tasks it is `module::path::task` with its file, line and column.
#[proc_macro]
pub fn task(input: TokenStream) -> TokenStream {
    task::expand(input.into()).into()
}

/// Makes an actor one that a pool can start on a runner.
///
/// ```
/// # use std::fs::File;
/// # use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
/// # use flame_actors::{Error, Message, Pool, placeable};
/// # #[derive(Message)] enum WriterMsg { Chunk(Vec<u8>) }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Open { path: String }
/// struct Writer;
///
/// #[placeable]
/// impl Actor for Writer {
///     type Msg = WriterMsg; // #[derive(flame_actors::Message)]
///     type State = File; // stays on the runner: anything
///     type Arguments = Open; // #[derive(serde::Serialize, serde::Deserialize)]
///
///     async fn pre_start(&self, _: ActorRef<WriterMsg>, open: Open) -> Result<File, ActorProcessingErr> {
///         Ok(File::create(open.path)?)
///     }
/// }
///
/// # async fn example(pool: Pool, open: Open) -> Result<(), Error> {
/// let writer = pool.place_child(Writer, open).await?;
/// # Ok(())
/// # }
/// ```
///
/// # What travels
///
/// The handler (`Generator`) and `Arguments`. A handler without fields needs nothing; one with fields derives serde's
/// `Serialize` and `Deserialize`. `Arguments` derives both, and holds actors as `ActorAddr<M>`.
///
/// # What is generated
///
/// - the `impl` as it is;
/// - `impl ::flame_actors::Placeable for Generator`;
/// - an entry in the table of placeable actors, named `module::path::Generator`.
///
/// An `impl Snapshot for Generator` beside it is found and used.
///
/// A generic `impl` is refused: the table holds actors, not families of them.
#[proc_macro_attribute]
pub fn placeable(options: TokenStream, item: TokenStream) -> TokenStream {
    placeable::expand(options.into(), item.into()).into()
}

/// Makes an enum or struct a message that reaches actors on other nodes.
///
/// ```
/// # use flame_actors::{Message, ractor::{ActorRef, RpcReplyPort}};
/// # #[derive(Message)] struct Progress(u8);
/// #[derive(Message)]
/// enum GeneratorMsg {
///     Chunk(#[serde(with = "serde_bytes")] Vec<u8>),
///     Close,
///     Subscribe(ActorRef<Progress>),
///     Count(RpcReplyPort<u64>),
/// }
/// ```
///
/// # Fields
///
/// - Any type with serde's `Serialize` and `DeserializeOwned` that is `Send`. The message itself derives neither.
/// - `RpcReplyPort<T>`, at most one per variant, makes the variant a call. It is not sent: the reply comes back to it.
/// - `ActorRef<M>`, also inside `Option`, `Vec`, `Box`, tuples and `Result`, and in the same places of a reply, if `M`
///   is a `flame_actors::Message`. Elsewhere use `ActorAddr<M>`.
///
/// # Attributes
///
/// - `#[serde(..)]` on the type, its variants and its fields means what it means to serde, except those that give a
///   type another form (`from`, `try_from`, `into`, `remote`), `crate`, and `default` on the type. A field with
///   `with`, `serialize_with`, `deserialize_with` or `skip` is left to that attribute, whatever its type.
/// - `#[message(cluster)]` on the type: other nodes may find its actors through `ractor::pg` and `ractor_cluster`.
///   Actors of such a message are announced to every node.
///
/// # What is generated
///
/// For `GeneratorMsg`, in an anonymous `const`:
///
/// - `enum __GeneratorMsgWire`, which derives serde's traits: the same variants with the same `serde` attributes,
///   without reply ports, and with `ActorAddr<M>` for `ActorRef<M>`. It travels as MessagePack with named maps;
/// - `impl ractor::Message`, with `box_message` and `from_boxed`, and for `#[message(cluster)]` with `serializable`,
///   `serialize` and `deserialize` as well;
/// - `impl flame_actors::Message`, with `encode` and `decode`.
///
/// A generic type gets these where its type parameters are `Send + 'static` and the fields that mention them travel.
#[proc_macro_derive(Message, attributes(message, serde))]
pub fn derive_message(item: TokenStream) -> TokenStream {
    message::expand(item.into()).into()
}

/// Makes a type a message that never leaves its process.
///
/// ```
/// # use flame_actors::LocalMessage;
/// #[derive(LocalMessage)]
/// enum UploadMsg {
///     Body(std::net::TcpStream), // nothing that another process could have
///     Done,
/// }
/// ```
///
/// Generates `impl ractor::Message` and nothing else, so that actors of this message are not announced to other nodes.
/// Its fields are anything that is `Send + 'static`. A placed child has a [`Message`](macro@Message) instead.
#[proc_macro_derive(LocalMessage)]
pub fn derive_local_message(item: TokenStream) -> TokenStream {
    message::expand_local(item.into()).into()
}
