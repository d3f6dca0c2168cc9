use flame_actors::remote;

#[remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[remote]
async unsafe extern "C" fn raw() {}

#[remote]
struct NotAFunction;

fn main() {}
