use flame_actors::Message;

#[derive(Message)]
struct Line<'a>(&'a str);

#[derive(Message)]
struct Name(&'static str);

fn main() {}
