//! `#[remote]` on functions of all forms.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flame_actors::{Task, remote, runner};
use serde::{Deserialize, Serialize};

use crate::pool;

#[remote]
async fn add(a: u64, mut b: u64) -> u64 {
    b += a;
    b
}

#[tokio::test]
async fn a_function_gives_the_same_result_here_and_on_a_runner() {
    let pool = pool("function").await;
    assert_eq!(add(1, 2).await, 3);
    assert_eq!(pool.call(add(1, 2)).await, Ok(3));
    pool.shutdown().await;
}

#[remote]
async fn place() -> Option<String> {
    runner().map(|name| name.to_string())
}

#[tokio::test]
async fn a_function_given_to_a_pool_runs_on_its_runner() {
    let pool = pool("place").await;
    assert_eq!(place().await, None);
    let runner = pool.call(place()).await.unwrap().unwrap();
    assert!(runner.contains("place"), "{runner}");
    pool.shutdown().await;
}

#[test]
fn a_task_is_named_by_its_path_and_its_place_in_the_source() {
    let name = format!("{:?}", add(1, 2));
    assert!(name.contains("macros::functions::add"), "{name}");
    assert!(name.contains("tests/macros/functions.rs:"), "{name}");
}

#[remote]
async fn nothing() {}

#[tokio::test]
async fn a_function_may_take_and_return_nothing() {
    let pool = pool("nothing").await;
    nothing().await;
    assert_eq!(pool.call(nothing()).await, Ok(()));
    pool.shutdown().await;
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Video {
    name: String,
    length: u8,
}

#[remote]
async fn describe(
    (x, y): (u8, u8),
    Video { name, .. }: Video,
    [first, .., last]: [u8; 3],
    small @ 0..: u8,
    _: bool,
    _unused: u8,
    arg4: u8,
) -> String {
    format!("{name} {x}x{y} {first}-{last} {small} {arg4}")
}

#[tokio::test]
async fn arguments_may_be_patterns() {
    let pool = pool("patterns").await;
    let video = Video { name: "cat".to_owned(), length: 9 };
    let described = pool.call(describe((1, 2), video, [3, 4, 5], 6, true, 7, 8)).await;
    assert_eq!(described, Ok("cat 1x2 3-5 6 8".to_owned()));
    pool.shutdown().await;
}

#[remote]
async fn half(number: u8) -> Result<u8, String> {
    if number == 0 {
        return Err("nothing to halve".to_owned());
    }
    let double = number.checked_mul(2).ok_or("too large")?;
    let quarter = |of: u8| -> Option<u8> { of.checked_div(4) };
    Ok(quarter(double).ok_or("cannot happen")?)
}

#[tokio::test]
async fn return_and_question_mark_leave_the_function() {
    let pool = pool("return").await;
    assert_eq!(pool.call(half(10)).await, Ok(Ok(5)));
    assert_eq!(pool.call(half(0)).await, Ok(Err("nothing to halve".to_owned())));
    assert_eq!(pool.call(half(200)).await, Ok(Err("too large".to_owned())));
    pool.shutdown().await;
}

#[remote]
async fn factorial(number: u64) -> u64 {
    if number == 0 { 1 } else { number * factorial(number - 1).await }
}

#[tokio::test]
async fn a_function_may_call_itself() {
    let pool = pool("recursion").await;
    let task: Task<u64> = factorial(5);
    assert_eq!(pool.call(task).await, Ok(120));
    pool.shutdown().await;
}

struct Maths;

impl Maths {
    #[remote]
    async fn double(number: u32) -> u32 {
        number * 2
    }
}

#[tokio::test]
async fn a_function_may_stand_in_an_impl_block() {
    let pool = pool("impl").await;
    assert_eq!(pool.call(Maths::double(4)).await, Ok(8));
    pool.shutdown().await;
}

#[remote]
async fn sixteen(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
) -> Vec<u8> {
    vec![a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

#[tokio::test]
async fn sixteen_arguments_keep_their_order() {
    let pool = pool("sixteen").await;
    let all = pool.call(sixteen(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)).await.unwrap();
    assert_eq!(all, (0..16).collect::<Vec<u8>>());
    pool.shutdown().await;
}

#[remote]
async fn join(
    text: Box<str>,
    bytes: Box<[u8]>,
    either: Cow<'static, str>,
    map: BTreeMap<String, Vec<Option<u8>>>,
    single: (String,),
) -> Box<str> {
    format!("{text} {bytes:?} {either} {map:?} {}", single.0).into()
}

#[tokio::test]
async fn boxes_of_unsized_values_travel() {
    let pool = pool("boxes").await;
    let map = BTreeMap::from([("k".to_owned(), vec![Some(1), None])]);
    let joined = pool.call(join("a".into(), [1, 2].into(), "c".into(), map, ("d".to_owned(),))).await.unwrap();
    assert_eq!(&*joined, r#"a [1, 2] c {"k": [Some(1), None]} d"#);
    pool.shutdown().await;
}

#[tokio::test]
async fn a_task_can_be_spawned() {
    assert_eq!(tokio::spawn(add(1, 2)).await.unwrap(), 3);
}
