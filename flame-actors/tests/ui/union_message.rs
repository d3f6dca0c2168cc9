use flame_actors::Message;

#[derive(Message)]
union Bits {
    float: f32,
    int: u32,
}

fn main() {}
