use std::path::Path;

use flame_actors::remote;

#[remote]
async fn count(text: &str, path: &Path, numbers: &[u64], maybe: Option<&str>) -> usize {
    text.len() + numbers.len()
}

#[remote]
async fn name() -> &'static str {
    "name"
}

fn main() {}
