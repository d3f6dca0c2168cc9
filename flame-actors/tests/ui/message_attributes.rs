use flame_actors::Message;

#[derive(Message)]
#[message(remote)]
enum Unknown {
    One,
}

#[derive(Message)]
enum Misplaced {
    #[message(cluster)]
    One(#[message(cluster)] u8),
}

#[derive(Message)]
#[serde(from = "u8")]
struct Converted(u8);

fn main() {}
