#![allow(unreachable_code)]

use flame_actors::task;

fn main() {
    let (a, b) = (1_u8, 2_u8);
    let _ = task!({ a + b });
    let _ = task!(async move { a + b });
    let _ = task!([a, b: u8] -> u8 { a + b });
    let _ = task!([&a: u8] -> u8 { a });
    let _ = task!([a: u8] -> u8);
    let _ = task!([a: u8] -> u8 { a } + 1);
    let _ = task!([a: &u8, b: &str] {});
}
