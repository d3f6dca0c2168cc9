use flame_actors::remote;

#[remote(timeout = 30)]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {}
