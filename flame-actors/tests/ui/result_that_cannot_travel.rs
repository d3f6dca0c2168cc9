use flame_actors::remote;

struct MediaError;

#[remote]
async fn generate() -> Result<Vec<String>, MediaError> {
    Err(MediaError)
}

fn main() {}
