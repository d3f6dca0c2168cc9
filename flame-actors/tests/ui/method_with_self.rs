use flame_actors::remote;

struct Encoder;

impl Encoder {
    #[remote]
    async fn encode(&self, quality: u8) -> u8 {
        quality
    }
}

fn main() {}
