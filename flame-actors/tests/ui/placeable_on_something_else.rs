use flame_actors::placeable;

struct Worker;

#[placeable]
impl Worker {}

#[placeable]
impl Default for Worker {
    fn default() -> Self {
        Self
    }
}

#[placeable]
struct Other;

fn main() {}
