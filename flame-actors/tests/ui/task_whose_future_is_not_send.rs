use std::rc::Rc;

use flame_actors::remote;

#[remote]
async fn count() -> u8 {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    *kept
}

fn main() {}
